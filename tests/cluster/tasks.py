"""Tasks for the tests of engines; workers import them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jean.errors import InputError, SetupError
from jean.memory import current_limit


@dataclass(frozen=True)
class Square:
    """Squares numbers. Some fail, some end their worker.

    Attributes:
        bad: items that cannot be used.
        defect: items that bring a defect to light.
        folder: holds a file for every worker that has started, and for every try of a deadly item.
        deadly: items that end their worker, the first ``times`` times.
    """

    bad: tuple[int, ...] = ()
    defect: tuple[int, ...] = ()
    folder: Path | None = None
    deadly: tuple[int, ...] = ()
    times: int = 1
    pause_s: float = 0.0

    def start(self) -> Callable[[int], int]:
        if self.folder is not None:
            (self.folder / f"worker-{os.getpid()}").touch()
        return self.handle

    def handle(self, number: int) -> int:
        time.sleep(self.pause_s)
        if number in self.bad:
            raise InputError(f"{number} cannot be used.", "Give another.")
        if number in self.defect:
            raise ZeroDivisionError("a defect")
        if number in self.deadly and self.folder is not None:
            tries = len(list(self.folder.glob(f"try-{number}-*")))
            if tries < self.times:
                (self.folder / f"try-{number}-{tries}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return number * number


@dataclass(frozen=True)
class CannotStart:
    """A task that no worker can start."""

    ends: bool = False

    def start(self) -> Callable[[int], int]:
        if self.ends:
            os.kill(os.getpid(), signal.SIGKILL)
        raise SetupError("the weights are missing.", "Get them.")


class Limits:
    """Returns the limit on the memory of the worker, bytes."""

    def start(self) -> Callable[[int], int | None]:
        return lambda number: current_limit()
