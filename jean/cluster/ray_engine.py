"""An engine on a Ray cluster: one actor per worker, so that networks are loaded once per worker.

Items and outputs pass through Ray's object store, so they are small: paths and figures, never frames. Results are
files, written by the worker that made them.
"""

from __future__ import annotations

import logging
import platform
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import jean
from jean.cluster.base import Done, Item, Output, Task, attempt, lost
from jean.cluster.local import START_TRIES, Queue
from jean.errors import JeanError, SetupError
from jean.progress import Progress

_CONNECT_S = 5.0  # to find out whether somebody listens
_WAIT_S = 10.0  # until a cluster without room is reported
_INSTALL = 'Run: pip install "jean[cluster]"'


class RayEngine:
    """Handles items on a Ray cluster.

    A lost worker or node costs the items that it holds, which others take over. New workers start where the cluster has
    room, so that nodes may join and leave.

    Args:
        address: of the cluster, as for ``ray.init``: ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``.
        cpus: cores of each worker.
        gpus: GPUs of each worker; fractions share one.
        most: number of workers at most; None for as many as the cluster has room for at the start.

    Raises:
        SetupError: Ray is missing, or there is no cluster at the address, or one of another version.
    """

    def __init__(self, address: str, cpus: float = 1, gpus: float = 0, most: int | None = None):
        self.ray = _connect(address)
        resources = self.ray.cluster_resources()
        room = [resources.get("CPU", 0) // cpus if cpus else float("inf")]
        room += [resources.get("GPU", 0) // gpus] if gpus else []
        self.count = int(min([*room, *([most] if most else [])]))
        if self.count < 1:
            has = f"{resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs"
            raise SetupError(
                f"the cluster has {has}, a worker needs {cpus:g} and {gpus:g}.", "Add nodes, or ask for less."
            )
        self.options = {"num_cpus": cpus, "num_gpus": gpus}
        self.place = f"{self.count} workers on the cluster"

    def run(
        self, task: Task[Item, Output], items: Iterable[Item], title: str, progress: Progress, total: int | None = None
    ) -> Iterator[Done[Output]]:
        """See ``Engine.run``."""
        pairs = iter(enumerate(items))
        if (first := next(pairs, None)) is None:
            return
        count = self.count if total is None else min(self.count, total)
        crew = _Crew(self.ray, self.ray.put(task), self.options, Queue(chain([first], pairs)), count)
        try:
            with progress.task(title, total) as advance:
                while crew.hand_out():
                    for done in crew.collect(progress):
                        yield done
                        advance(1)
        finally:
            crew.end()


@dataclass
class _Worker:
    """An actor, the reference to what it is doing, and the (index, item) that it handles (None while it starts)."""

    actor: Any
    pending: Any
    held: tuple[int, Any] | None = None


class _Crew:
    """The actors of one run."""

    def __init__(self, ray: Any, task: Any, options: dict[str, float], queue: Queue, count: int):
        self.ray, self.task, self.options, self.queue = ray, task, options, queue
        self.free: list[Any] = []  # started actors without an item
        self.busy = [self._start() for _ in range(count)]
        self.waiting = False
        self.count, self.lost_before_start = count, 0

    def hand_out(self) -> bool:
        """Gives items to free actors. False if nothing is left to do."""
        while self.free and (pair := self.queue.take()) is not None:
            actor = self.free.pop()
            self.busy.append(_Worker(actor, actor.handle.remote(*pair), pair))
        return any(worker.held is not None for worker in self.busy) or not self.free

    def collect(self, progress: Progress) -> Iterator[Done[Any]]:
        """Waits for an actor, and yields what it has finished. A lost actor is replaced, its item goes back."""
        ready, _ = self.ray.wait([worker.pending for worker in self.busy], timeout=_WAIT_S)
        if not ready:
            if all(worker.held is None for worker in self.busy) and not self.waiting:
                progress.warn("the cluster has no room: waiting for it.")
                self.waiting = True
            return
        for reference in ready:
            worker = next(worker for worker in self.busy if worker.pending == reference)
            self.busy.remove(worker)
            try:
                message = self.ray.get(reference)
            except self.ray.exceptions.RayTaskError as error:  # an item or output that cannot be pickled
                message = (
                    error.cause if isinstance(error.cause, JeanError) else JeanError(f"internal error ({error.cause}).")
                )
                if worker.held is not None:
                    message = Done(worker.held[0], error=message)
            except self.ray.exceptions.RayError as error:
                self._count_loss(worker, error)
                self.busy.append(self._start())
                if worker.held is not None and not self.queue.give_back(worker.held):
                    yield lost(worker.held[0])
                continue
            if isinstance(message, JeanError):
                raise message
            self.lost_before_start = 0
            self.free.append(worker.actor)
            if isinstance(message, Done):
                yield message

    def _count_loss(self, worker: _Worker, error: Exception) -> None:
        """Raises ``SetupError`` where no worker can start, for example on machines without jean."""
        self.lost_before_start += worker.held is None
        if self.lost_before_start >= START_TRIES * self.count:
            reason = " ".join(str(error).split())[:200].rstrip(".")
            raise SetupError(
                f"workers on the cluster end before they have started: {reason}.",
                "Install the same jean on every machine, or ask for fewer workers.",
            ) from error

    def _start(self) -> _Worker:
        actor = self.ray.remote(_Actor).options(**self.options, max_restarts=0).remote()
        return _Worker(actor, actor.start.remote(self.task, jean.__version__))

    def end(self) -> None:
        """Ends all actors."""
        for actor in [*self.free, *(worker.actor for worker in self.busy)]:
            self.ray.kill(actor)


class _Actor:
    """A worker on the cluster."""

    def start(self, task: Task[Any, Any], version: str) -> JeanError | None:
        """Starts the task; returns the error if it cannot be started."""
        if jean.__version__ != version:
            return SetupError(
                f"the driver has jean {version}, a worker on {platform.node()} has {jean.__version__}.",
                "Install the same version everywhere.",
            )
        try:
            self.function = task.start()
        except JeanError as error:
            return error
        return None

    def handle(self, index: int, item: Any) -> Done[Any]:
        """Handles one item."""
        return attempt(self.function, index, item)


def _connect(address: str) -> Any:
    """The module ``ray``, connected to a cluster."""
    try:
        import ray
    except ImportError as error:
        raise SetupError("the package ray is missing.", _INSTALL) from error
    if ray.is_initialized():
        return ray
    _require_listener(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise SetupError(f"there is no Ray cluster at {address}.", "Start one: ray start --head") from error
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")[:300]  # of versions, it names both in several lines
        raise SetupError(f"the cluster at {address} cannot be used: {reason}.", _INSTALL) from error
    _keep_stdout_free(ray)
    return ray


def _keep_stdout_free(ray: Any) -> None:
    """Stops a thread of Ray from printing about lost workers on standard output, where ``--json`` prints its document.

    ``log_to_driver=False`` does not stop it, and Ray has no public setting for it. Lost items are reported anyway.
    """
    internals: Any = getattr(getattr(ray, "_private", None), "worker", None)
    if hasattr(internals, "print_to_stdstream"):
        internals.print_to_stdstream = lambda *arguments, **options: None


def _require_listener(address: str) -> None:
    """Checks that somebody listens at HOST:PORT, because Ray itself tries for many minutes.

    Raises:
        SetupError: nobody does.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise SetupError(f"there is no Ray cluster at {address}.", "Start one: ray start --head") from error
