"""Renders frames in parallel threads and yields them in order, so that encoding and rendering overlap."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")


def in_order(make: Callable[[int], Result], items: Iterable[int], workers: int) -> Generator[Result, None, None]:
    """Yields ``make(item)`` for every item, in the order of the items, computed by several threads.

    Each thread computes whole frames. Parts of a frame are sequential (conditions, colours, PNG), so threads within one
    frame would wait for one another.

    Exceptions of ``make`` are raised when the item's turn comes; items that were not started by then are dropped.

    Args:
        make: computes the result of an item; called in any thread. With several workers, torch uses one thread in each.
        items: the items.
        workers: number of threads; with 1, ``make`` runs in the caller's thread.
    """
    if workers == 1:
        yield from map(make, items)
        return
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, "renderer", torch.set_num_threads, (1,))
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > 2 * workers:  # limits the memory of results that wait
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # part of torch's setting applies to the whole process
