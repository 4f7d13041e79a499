"""Several results scored at the same time, each in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from jean.errors import InputError, JeanError, SetupError
from jean.evaluation.pairing import Job
from jean.evaluation.rules import Rules
from jean.evaluation.score import score
from jean.progress import Progress, Silent


def run_parallel(
    jobs: list[Job], rules: Rules, output: Path | None, workers: int, progress: Progress
) -> Iterator[tuple[dict[str, Any], dict[str, str]] | JeanError]:
    """Scores ``jobs`` in ``workers`` processes; yields what ``score`` returns, in the order of the jobs.

    Processes are started afresh, not forked: trackers and torch keep threads that a fork would lose.

    Raises:
        SetupError: a process was killed, as it is when memory runs out.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_limit_threads, initargs=(workers,))
    try:
        futures: list[Future] = [pool.submit(_scored, job, rules, output) for job in jobs]
        with progress.task("evaluate", len(jobs)) as advance:
            for future in futures:
                outcome, warnings = future.result()
                for warning in warnings:
                    progress.warn(warning)
                advance(1)
                yield outcome
    except BrokenProcessPool as error:
        raise SetupError(
            "a process that scored results was killed, perhaps for want of memory.", "Choose fewer workers."
        ) from error
    finally:
        # after an error or Ctrl-C nobody waits for the rest; what is finished is kept in the output
        processes = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.join(0.2)
            if process.is_alive() and not all(future.done() for future in futures):
                process.terminate()


class _Collecting(Silent):
    """Keeps warnings, since a process of its own cannot show them."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        """Keeps one warning."""
        self.warnings.append(message)


def _scored(job: Job, rules: Rules, output: Path | None) -> tuple[Any, list[str]]:
    progress = _Collecting()
    try:
        return score(job, rules, output, progress), progress.warnings
    except InputError as error:
        return error, progress.warnings


def _limit_threads(workers: int) -> None:
    import os

    share = max(1, (os.cpu_count() or 1) // workers)
    os.environ.setdefault("OMP_NUM_THREADS", str(share))
    import torch

    torch.set_num_threads(share)
