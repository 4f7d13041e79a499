"""Independent jobs in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from jean.errors import SetupError
from jean.progress import Progress

Job = TypeVar("Job")
Output = TypeVar("Output")


def map_in_processes(
    function: Callable[[Job], Output],
    jobs: Sequence[Job],
    title: str,
    progress: Progress,
    workers: int | None = None,
    limit_threads: bool = False,
) -> Iterator[Output]:
    """Yields ``function(job)`` for each job, in the order of ``jobs``; the first error ends all jobs.

    Processes are spawned, because trackers and torch hold threads that a fork would lose. A script that calls this must
    therefore be importable (its own code under ``if __name__ == "__main__"``), as always with ``multiprocessing``.

    Args:
        function: a function of a module, not a lambda.
        jobs: values that can be pickled. Put the longest jobs first, so that no core waits for one at the end.
        title: name of the task that ``progress`` shows.
        progress: advances with each finished job.
        workers: number of processes; None for one per core that this process may use. With one worker, the jobs run in
            this process.
        limit_threads: divide the cores between the processes, for functions that use torch, OpenMP, BLAS or OpenCV.

    Raises:
        SetupError: the system killed a process, as it does when memory runs out.
    """
    workers = min(workers or core_count(), len(jobs))
    with progress.task(title, len(jobs)) as advance:
        serial = workers <= 1
        outputs = map(function, jobs) if serial else _run(function, jobs, workers, workers if limit_threads else 0)
        for output in outputs:
            advance(1)
            yield output


def core_count() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run(function: Callable[[Job], Output], jobs: Sequence[Job], workers: int, n_shares: int) -> Iterator[Output]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_initialise, initargs=(n_shares,))
    futures: list[Future[Output]] = []
    try:
        futures += [pool.submit(function, job) for job in jobs]
        for future in futures:
            yield future.result()
    except BrokenProcessPool as error:
        raise SetupError(
            "the system killed a worker process, perhaps because memory ran out.", "Use fewer workers."
        ) from error
    finally:
        # after an error or Ctrl-C nobody needs the remaining jobs; do not wait for those that have started
        processes = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.join(0.2)
            if process.is_alive() and not all(future.done() for future in futures):
                process.terminate()


def _initialise(n_shares: int) -> None:
    """Prepares a worker: the parent handles Ctrl-C; libraries get one of ``n_shares`` parts of the cores (0: all)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not n_shares:
        return
    threads = max(1, core_count() // n_shares)
    # read by OpenMP, torch and BLAS, and by OpenCV, when the job loads them
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ[name] = str(threads)
