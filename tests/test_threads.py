"""Work in threads: the same results in the same order, errors, and an early end."""

from __future__ import annotations

import threading
import time

import pytest

from jean import threads
from jean.threads import map_ahead, read_ahead, thread_count


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_order_and_few_are_held(count):
    taken = []

    def items():
        for item in range(20):
            taken.append(item)
            yield item

    def slow(item):
        time.sleep(0.002 * (item % 3))
        return 10 * item

    results = []
    for result in map_ahead(slow, items(), count):
        results.append(result)
        assert len(taken) <= len(results) + count
    assert results == [10 * item for item in range(20)]


def test_several_items_are_in_work_at_once():
    together = threading.Barrier(2, timeout=5)
    assert list(map_ahead(lambda item: together.wait() >= 0, range(4), 2)) == [True] * 4


def inverses(items):
    return map_ahead(lambda item: 1 / item, items, 2)


@pytest.mark.parametrize("spread", [inverses, lambda items: read_ahead(items, 2)])
def test_errors_reach_the_caller(spread):
    def items():
        yield 2
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(spread(items()))


def test_reading_ahead_keeps_order_and_holds_few():
    taken = []

    def items():
        for item in range(30):
            taken.append(item)
            yield item

    seen = []
    for item in read_ahead(items(), 3):
        seen.append(item)
        assert len(taken) <= len(seen) + 5  # the queue, the one that waits for it, and the one being read
    assert seen == list(range(30)) and list(read_ahead(range(3), 0)) == [0, 1, 2]


def test_who_stops_early_leaves_no_thread_behind():
    before = threading.active_count()
    endless = read_ahead(iter(int, 1), 2)
    assert next(endless) == 0
    endless.close()
    assert threading.active_count() == before


def test_the_number_of_threads_obeys_the_environment(monkeypatch):
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: range(64), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert thread_count() == threads.MOST
    for text, expected in (("2", 2), ("0", 1), ("many", threads.MOST), ("64", threads.MOST)):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert thread_count() == expected
