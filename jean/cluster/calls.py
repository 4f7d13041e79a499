"""Plain functions on an engine of this machine: results in order, and the first error ends the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic

from jean.cluster.base import Item, Output, in_order
from jean.cluster.local import InProcess, Processes, core_count
from jean.progress import Progress


@dataclass(frozen=True)
class Calls(Generic[Item, Output]):
    """A task that calls a function of a module; nothing is shared between its items."""

    function: Callable[[Item], Output]

    def start(self) -> Callable[[Item], Output]:
        """Returns the function."""
        return self.function


def map_in_processes(
    function: Callable[[Item], Output],
    jobs: Sequence[Item],
    title: str,
    progress: Progress,
    workers: int | None = None,
    limit_threads: bool = False,
) -> Iterator[Output]:
    """Yields ``function(job)`` for each job, in the order of ``jobs``; the first error ends all jobs.

    Args:
        function: a function of a module, not a lambda.
        jobs: values that can be pickled. Put the longest jobs first, so that no core waits for one at the end.
        title: name of the task that ``progress`` shows.
        progress: advances with each finished job.
        workers: number of processes; None for one per core that this process may use. With one worker, the jobs run in
            this process.
        limit_threads: divide the cores between the processes, for functions that use torch or OpenMP.

    Raises:
        SetupError: the system killed a process twice, as it does when memory runs out.
    """
    count = min(workers or core_count(), len(jobs))
    engine = InProcess() if count <= 1 else Processes(count, limit_threads)
    for done in in_order(engine.run(Calls(function), jobs, title, progress, len(jobs))):
        if done.error is not None:
            raise done.error
        yield done.output  # type: ignore[misc]  # an outcome without an error has an output
