"""The engine that options ask for."""

from __future__ import annotations

from jean.cluster.base import Engine
from jean.cluster.local import InProcess, Processes, core_count
from jean.errors import UsageError
from jean.memory import current_limit, processes_within


def engine_for(workers: int | None, cluster: str | None, items: int | None, cpus: float = 1, gpus: float = 0) -> Engine:
    """The engine for ``--workers`` and ``--cluster``.

    Args:
        workers: number of workers; None for one per core of this machine (as far as ``--memory`` allows), or for all
            that the cluster has room for.
        cluster: address of a Ray cluster, or None for this machine.
        items: number of items, where it is known: one item needs no second process.
        cpus: cores of each worker on the cluster.
        gpus: GPUs of each worker on the cluster.

    Raises:
        UsageError: the address is empty, or the memory of this machine is limited for work elsewhere.
        SetupError: the cluster cannot be used.
    """
    if cluster is not None:
        if not cluster.strip():
            raise UsageError("--cluster needs an address.", "For example: --cluster auto")
        if current_limit() is not None:
            raise UsageError("--memory limits this machine, not a cluster.", "Leave it away with --cluster.")
        from jean.cluster.ray_engine import RayEngine

        return RayEngine(cluster, cpus, gpus, workers)
    count = workers or processes_within(core_count(), current_limit())
    if items is not None:
        count = min(count, items)
    return InProcess() if count <= 1 else Processes(count)
