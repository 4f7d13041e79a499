"""Engines of this machine: every item once, failures beside results, lost workers replaced."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from jean.cluster.base import Done, in_order
from jean.cluster.local import InProcess, Processes
from jean.cluster.select import engine_for
from jean.errors import SetupError, UsageError
from jean.progress import Silent
from tests.cluster.tasks import CannotStart, Square


def outcomes(engine, task, items) -> dict[int, Done]:
    done = list(engine.run(task, items, "work", Silent()))
    assert len({each.index for each in done}) == len(done)
    return {each.index: each for each in done}


@pytest.mark.parametrize("engine", [InProcess(), Processes(2, limit_threads=False)], ids=["one", "two"])
def test_every_item_is_handled_once_and_failures_stand_beside_results(engine) -> None:
    found = outcomes(engine, Square(bad=(3,), defect=(5,)), range(8))
    assert {index: done.output for index, done in found.items()} == {
        n: None if n in (3, 5) else n * n for n in range(8)
    }
    assert found[3].error is not None and found[3].error.exit_code == 3
    assert found[5].error is not None and "internal error (ZeroDivisionError: a defect)" in str(found[5].error)
    assert outcomes(engine, Square(), []) == {}


def test_a_worker_starts_the_task_once(tmp_path: Path) -> None:
    outcomes(Processes(2, limit_threads=False), Square(folder=tmp_path), range(20))
    assert 1 <= len(list(tmp_path.glob("worker-*"))) <= 2


def test_the_item_of_a_lost_worker_is_tried_once_more(tmp_path: Path) -> None:
    engine = Processes(2, limit_threads=False)
    found = outcomes(engine, Square(deadly=(2,), folder=tmp_path), range(6))
    assert [found[n].output for n in range(6)] == [n * n for n in range(6)]
    (tmp_path / "again").mkdir()
    found = outcomes(engine, Square(deadly=(2,), times=9, folder=tmp_path / "again"), range(6))
    assert [found[n].output for n in range(6)] == [0, 1, None, 9, 16, 25]
    assert isinstance(found[2].error, SetupError) and "worker was lost" in str(found[2].error)


@pytest.mark.parametrize("ends, reason", [(False, "weights are missing"), (True, "ends every worker")])
def test_a_task_that_cannot_start_ends_the_work(ends: bool, reason: str) -> None:
    with pytest.raises(SetupError, match=reason):
        outcomes(Processes(2, limit_threads=False), CannotStart(ends), range(4))


def test_items_are_taken_as_workers_become_free() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    run = Processes(2, limit_threads=False).run(Square(), items(), "work", Silent())
    next(run)
    run.close()
    assert len(taken) <= 4


def test_outcomes_are_put_in_order() -> None:
    shuffled = [Done(n, n) for n in range(50)]
    random.Random(0).shuffle(shuffled)
    assert [done.index for done in in_order(shuffled)] == list(range(50))


def test_options_choose_the_engine() -> None:
    assert isinstance(engine_for(1, None, 9), InProcess)
    assert isinstance(engine_for(8, None, 1), InProcess)
    engine = engine_for(3, None, 9)
    assert isinstance(engine, Processes) and engine.place == "3 processes"
    with pytest.raises(UsageError, match="address"):
        engine_for(1, " ", 9)
