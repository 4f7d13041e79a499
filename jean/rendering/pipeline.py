"""Frames made side by side and handed out in their order: while one is encoded, the next are painted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Made = TypeVar("Made")


def in_order(make: Callable[[int], Made], items: Iterable[int], workers: int) -> Generator[Made, None, None]:
    """``make(item)`` for every item, in the items' order, by so many threads.

    A frame has parts that no second thread can help with (conditions, PNG, colours), so whole frames side by side
    keep all processors busy where threads within a frame would wait for one another.

    Args:
        make: called in any thread; with several of them, torch has one thread in each.
        items: what to make.
        workers: threads; with 1, everything happens in the caller's.

    Raises:
        What ``make`` raises, at the place of its item; what is not begun by then is not made.
    """
    if workers == 1:
        yield from map(make, items)
        return
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, "painter", torch.set_num_threads, (1,))
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > 2 * workers:  # more would only hold memory
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # part of torch's setting is the whole process's
