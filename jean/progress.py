"""Progress reports of long-running functions, independent of terminals."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Advance(Protocol):
    """Function that advances one task."""

    def __call__(self, count: int, note: str = "") -> None:
        """Adds ``count`` finished units.

        Args:
            count: number of units finished since the last call.
            note: shown beside the bar, for example ``"PSNR 24.1 dB"``.
        """
        ...


class Progress(Protocol):
    """Receiver of progress, messages and warnings; the argument ``progress`` of long-running functions."""

    def task(self, name: str, total: int | None) -> AbstractContextManager[Advance]:
        """Starts a task; use it in a ``with`` statement.

        Args:
            name: shown before the bar.
            total: number of units; None if unknown.
        """
        ...

    def say(self, message: str) -> None:
        """Shows one line of information."""
        ...

    def warn(self, message: str) -> None:
        """Shows one line of warning."""
        ...


class Silent:
    """A ``Progress`` that ignores everything."""

    def task(self, name: str, total: int | None) -> AbstractContextManager[Advance]:
        """Returns a context whose function does nothing."""
        return nullcontext(_ignore)

    def say(self, message: str) -> None:
        """Ignores the message."""

    def warn(self, message: str) -> None:
        """Ignores the warning."""


def _ignore(count: int, note: str = "") -> None:
    pass
