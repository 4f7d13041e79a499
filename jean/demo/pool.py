"""Independent jobs on all cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jean.progress import Progress

Job = TypeVar("Job")


def in_processes(
    work: Callable[[Job], Any], jobs: Sequence[Job], title: str, progress: Progress, workers: int | None = None
) -> list[Any]:
    """``work`` of every job, in the order of ``jobs``, several at a time; the first error ends all.

    Processes are spawned: a program that calls this must be importable (its own work under
    ``if __name__ == "__main__"``), as always with ``multiprocessing``.

    Args:
        work: a function of a module; jobs and results can be pickled.
        jobs: the longest first, so that no core waits for a long one at the end.
        title: of the task that ``progress`` shows.
        progress: told of every finished job.
        workers: processes; None: one for each core that this process may use. One works in this process.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(workers or cores, len(jobs))
    results = []
    with progress.task(title, len(jobs)) as advance:
        if workers <= 1:
            for job in jobs:
                results.append(work(job))
                advance(1)
            return results
        # leaving the block ends workers that are still busy
        with multiprocessing.get_context("spawn").Pool(workers, _ignore_interrupt) as pool:
            for result in pool.imap(work, jobs):
                results.append(result)
                advance(1)
    return results


def _ignore_interrupt() -> None:
    """The parent answers Ctrl-C, and ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
