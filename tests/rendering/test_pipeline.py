"""Frames side by side, handed out in their order."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from jean.rendering.pipeline import in_order


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 23])
def test_the_order_is_the_items(workers, count):
    def make(item: int) -> int:
        time.sleep(0.002 * (item % 3))  # later ones are ready sooner
        return item * item

    assert list(in_order(make, range(count), workers)) == [i * i for i in range(count)]


def test_items_are_made_at_the_same_time_with_one_thread_of_torch_each():
    met, before = threading.Barrier(3, timeout=10), torch.get_num_threads()

    def make(item: int) -> int:
        met.wait()  # goes on only when three items are being made at once
        return torch.get_num_threads()

    assert list(in_order(make, range(3), 3)) == [1, 1, 1]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_comes_at_its_place_and_ends_the_work(workers):
    begun = []

    def make(item: int) -> int:
        begun.append(item)
        if item == 4:
            raise ValueError("four")
        return item

    got = []
    with pytest.raises(ValueError, match="four"):
        for value in in_order(make, range(1000), workers):
            got.append(value)
    assert got == [0, 1, 2, 3]
    assert len(begun) < 50


def test_it_runs_only_a_little_ahead_and_ends_when_it_is_closed():
    begun: list[int] = []
    frames = in_order(lambda item: begun.append(item), range(1000), 2)
    for _ in range(3):
        next(frames)
    frames.close()
    assert len(begun) <= 3 + 2 * 2 + 1
    after = len(begun)
    time.sleep(0.05)
    assert len(begun) == after
