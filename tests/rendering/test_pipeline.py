"""Parallel computation of frames that are yielded in order."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from jean.rendering.pipeline import in_order


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 23])
def test_results_have_the_order_of_the_items(workers, count):
    def make(item: int) -> int:
        time.sleep(0.002 * (item % 3))  # some later items are ready sooner
        return item * item

    assert list(in_order(make, range(count), workers)) == [i * i for i in range(count)]


def test_items_run_at_the_same_time_with_one_torch_thread_each():
    barrier, before = threading.Barrier(3, timeout=10), torch.get_num_threads()

    def make(item: int) -> int:
        barrier.wait()  # returns only when three items run at once
        return torch.get_num_threads()

    assert list(in_order(make, range(3), 3)) == [1, 1, 1]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_is_raised_in_order_and_ends_the_work(workers):
    started = []

    def make(item: int) -> int:
        started.append(item)
        if item == 4:
            raise ValueError("four")
        return item

    results = []
    with pytest.raises(ValueError, match="four"):
        for value in in_order(make, range(1000), workers):
            results.append(value)
    assert results == [0, 1, 2, 3]
    assert len(started) < 50


def test_few_items_run_ahead_and_closing_ends_the_work():
    started: list[int] = []
    frames = in_order(lambda item: started.append(item), range(1000), 2)
    for _ in range(3):
        next(frames)
    frames.close()
    assert len(started) <= 3 + 2 * 2 + 1
    after = len(started)
    time.sleep(0.05)
    assert len(started) == after
