"""Engines on this machine: this process, or several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from multiprocessing.connection import Connection, wait
from typing import Any

from jean.cluster.base import Done, Item, Output, Task, attempt, lost
from jean.errors import JeanError, SetupError
from jean.memory import current_limit, limited_to, share_of
from jean.progress import Progress

TRIES = 2  # of an item whose worker is lost
START_TRIES = 3  # workers that may be lost one after another before they have started


def core_count() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class InProcess:
    """Handles one item after another in this process."""

    place = "this process"

    def run(
        self, task: Task[Item, Output], items: Iterable[Item], title: str, progress: Progress, total: int | None = None
    ) -> Iterator[Done[Output]]:
        """See ``Engine.run``."""
        function = task.start()
        with progress.task(title, total) as advance:
            for index, item in enumerate(items):
                yield attempt(function, index, item)
                advance(1)


@dataclass
class _Worker:
    """A process, this end of its pipe, and the (index, item) that it handles."""

    process: Any
    pipe: Connection
    started: bool = False
    held: tuple[int, Any] | None = None


@dataclass
class Queue:
    """Items to hand out, with those that lost workers gave back first.

    Attributes:
        items: (index, item) pairs that nobody has had.
    """

    items: Iterator[tuple[int, Any]]
    _returned: deque[tuple[int, Any]] = field(default_factory=deque)
    _tries: dict[int, int] = field(default_factory=dict)

    def take(self) -> tuple[int, Any] | None:
        """The next (index, item), or None if there is none."""
        return self._returned.popleft() if self._returned else next(self.items, None)

    def give_back(self, held: tuple[int, Any]) -> bool:
        """Returns the item of a lost worker to the queue; False if it has been tried often enough."""
        self._tries[held[0]] = self._tries.get(held[0], 1) + 1
        if self._tries[held[0]] > TRIES:
            return False
        self._returned.append(held)
        return True


class Processes:
    """Handles items in several processes of this machine.

    Processes are spawned, because trackers and torch hold threads that a fork would lose. A script that calls this must
    therefore be importable (its own code under ``if __name__ == "__main__"``), as always with ``multiprocessing``.

    Args:
        count: of processes; None for one per core.
        limit_threads: divide the cores between the processes, for tasks that use torch or OpenMP.
    """

    def __init__(self, count: int | None = None, limit_threads: bool = True):
        self.count = count or core_count()
        self.threads = max(1, core_count() // self.count) if limit_threads else None
        self.place = f"{self.count} processes"

    def run(
        self, task: Task[Item, Output], items: Iterable[Item], title: str, progress: Progress, total: int | None = None
    ) -> Iterator[Done[Output]]:
        """See ``Engine.run``."""
        pairs = iter(enumerate(items))
        if (first := next(pairs, None)) is None:
            return
        count = self.count if total is None else min(self.count, total)
        crew = _Crew(task, Queue(chain([first], pairs)), self.threads, count)
        try:
            with progress.task(title, total) as advance:
                while crew.hand_out():
                    for done in crew.collect():
                        yield done
                        advance(1)
        finally:
            crew.end()


class _Crew:
    """The workers of one run."""

    def __init__(self, task: Task[Any, Any], queue: Queue, threads: int | None, count: int):
        self.task, self.queue, self.threads = task, queue, threads
        self.share = share_of(current_limit(), count)  # of the memory, bytes
        self.lost_before_start = 0
        self.workers = [self._start() for _ in range(count)]

    def hand_out(self) -> bool:
        """Gives items to free workers. False if nothing is left to do."""
        for worker in self.workers:
            if worker.started and worker.held is None:
                worker.held = self.queue.take()
                if worker.held is not None:
                    with suppress(OSError):  # it has died, and ``collect`` finds out
                        worker.pipe.send(worker.held)
        started = [worker for worker in self.workers if worker.started]
        return not started or any(worker.held is not None for worker in started)

    def collect(self) -> Iterator[Done[Any]]:
        """Waits for workers, and yields what they have finished. A lost worker is replaced, its item goes back."""
        for pipe in wait([worker.pipe for worker in self.workers]):
            worker = next(worker for worker in self.workers if worker.pipe is pipe)
            message = _receive(worker)
            if isinstance(message, JeanError):
                raise message
            if message is None:
                yield from self._replace(worker)
                continue
            worker.started, worker.held = True, None
            if isinstance(message, Done):
                yield message

    def _replace(self, worker: _Worker) -> Iterator[Done[Any]]:
        self.lost_before_start = 0 if worker.started else self.lost_before_start + 1
        if self.lost_before_start >= START_TRIES:
            raise SetupError("the system ends every worker.", "Use fewer workers, or more memory.")
        self.workers[self.workers.index(worker)] = self._start()
        if worker.held is not None and not self.queue.give_back(worker.held):
            yield lost(worker.held[0])

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(self.task, there, self.threads, self.share), daemon=True)
        process.start()
        there.close()
        return _Worker(process, here)

    def end(self) -> None:
        """Ends all workers."""
        for worker in self.workers:
            worker.pipe.close()
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join(2)


def _receive(worker: _Worker) -> Any:
    """What a worker has sent; None if it has ended."""
    try:
        return worker.pipe.recv()
    except (EOFError, OSError):
        return None


def _serve(task: Task[Any, Any], pipe: Connection, threads: int | None, share: int | None) -> None:
    """The life of a worker: starts the task, then handles items until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    with limited_to(share):
        _handle(task, pipe, threads)


def _handle(task: Task[Any, Any], pipe: Connection, threads: int | None) -> None:
    if threads is not None:
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
        import torch

        torch.set_num_threads(threads)
    try:
        function: Callable[[Any], Any] = task.start()
    except JeanError as error:
        pipe.send(error)
        return
    pipe.send("started")
    try:
        while True:
            index, item = pipe.recv()
            pipe.send(attempt(function, index, item))
    except (EOFError, OSError):
        return
