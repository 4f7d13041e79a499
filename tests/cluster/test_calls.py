"""Jobs in several processes: order, errors, killed workers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from jean.cluster.calls import map_in_processes
from jean.errors import InputError, SetupError
from jean.progress import Silent


class Counter(Silent):
    """Counts finished jobs."""

    def __init__(self) -> None:
        self.finished = 0

    def task(self, name, total):
        from contextlib import nullcontext

        def advance(count, note=""):
            self.finished += count

        return nullcontext(advance)


def square(number: int) -> tuple[int, int]:
    return number**2, os.getpid()


def fail_on_two(number: int) -> int:
    if number == 2:
        raise InputError("two cannot be used.", "Use another number.")
    return number


def threads(_: int) -> tuple[str | None, int]:
    import torch

    return os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()


def kill_itself(path: str) -> None:
    Path(path).touch()
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_worker_runs_in_this_process_and_counts_jobs() -> None:
    progress = Counter()
    outputs = list(map_in_processes(square, [3, 1, 2], "square", progress, workers=1))
    assert outputs == [(9, os.getpid()), (1, os.getpid()), (4, os.getpid())]
    assert progress.finished == 3
    assert list(map_in_processes(square, [], "square", progress)) == []


def test_several_workers_keep_the_order_of_the_jobs() -> None:
    progress = Counter()
    outputs = list(map_in_processes(square, [3, 1, 2, 5], "square", progress, workers=2))
    assert [value for value, _ in outputs] == [9, 1, 4, 25]
    assert os.getpid() not in {pid for _, pid in outputs}
    assert progress.finished == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_keeps_its_type_and_remedy_and_ends_the_jobs(workers: int) -> None:
    outputs = []
    with pytest.raises(InputError) as caught:
        for output in map_in_processes(fail_on_two, [1, 2, 3], "jobs", Silent(), workers):
            outputs.append(output)
    assert outputs == [1]
    assert caught.value.remedy == "Use another number."


def test_a_killed_worker_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in "ab"]
    with pytest.raises(SetupError, match="Use fewer workers"):
        list(map_in_processes(kill_itself, paths, "jobs", Silent(), workers=2))


@pytest.mark.slow
def test_limited_workers_share_the_cores() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for variable, count in map_in_processes(threads, [0, 1], "threads", Silent(), workers=2, limit_threads=True):
        assert count == max(1, cores // 2)
        assert variable is not None
