"""Work in threads whose results do not depend on the number of threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

Input = TypeVar("Input")
Output = TypeVar("Output")

MOST = 4  # threads of one job: each holds data of its own
POLL_S = 0.1


def thread_count() -> int:
    """Threads that one job may use: the cores of this process, no more than ``OMP_NUM_THREADS`` or ``MOST``."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(ValueError):
        cores = min(cores, int(os.environ["OMP_NUM_THREADS"])) if "OMP_NUM_THREADS" in os.environ else cores
    return max(1, min(cores, MOST))


def map_ahead(function: Callable[[Input], Output], items: Iterable[Input], threads: int) -> Iterator[Output]:
    """``map`` in several threads: results in order; at most ``threads`` items are in work or done and not yet taken.

    Args:
        function: depends on its item alone; it may run for several items at once.
        items: read in this thread.
        threads: 1 works in this thread.

    Example:
        >>> list(map_ahead(lambda x: x * x, range(5), threads=2))
        [0, 1, 4, 9, 16]
    """
    if threads <= 1:
        yield from map(function, items)
        return
    waiting: deque[Future[Output]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                if len(waiting) == threads:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(function, item))
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def read_ahead(items: Iterable[Output], count: int) -> Iterator[Output]:
    """The same items, read by another thread, up to ``count`` of them ahead; 0 reads them in this thread.

    Example:
        >>> list(read_ahead(iter("abc"), count=2))
        ['a', 'b', 'c']
    """
    if count < 1:
        yield from items
        return
    queue: Queue[tuple[Output] | BaseException | None] = Queue(count)
    ended = Event()

    def put(value: tuple[Output] | BaseException | None) -> bool:
        while not ended.is_set():
            with suppress(Full):
                queue.put(value, timeout=POLL_S)
                return True
        return False

    def read() -> None:
        try:
            for item in items:
                if not put((item,)):
                    return
            put(None)
        except BaseException as error:  # also those that are no Exception: the reader raises it
            put(error)

    reader = Thread(target=read, name="read ahead", daemon=True)
    reader.start()
    try:
        while (value := queue.get()) is not None:
            if isinstance(value, BaseException):
                raise value
            yield value[0]
    finally:
        ended.set()
        with suppress(Empty):
            while True:
                queue.get_nowait()
        reader.join()
