"""How a long-running function tells its caller how far it is, without knowing about terminals."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Advance(Protocol):
    """Moves one task forward."""

    def __call__(self, count: int, note: str = "") -> None:
        """Adds ``count`` finished units; ``note`` is shown beside the bar, e.g. ``"PSNR 24.1 dB"``."""
        ...


class Progress(Protocol):
    """What every library function that takes long accepts as ``progress``."""

    def task(self, name: str, total: int | None) -> AbstractContextManager[Advance]:
        """Opens a task of ``total`` units (None: unknown); use it in a ``with`` statement."""
        ...

    def say(self, message: str) -> None:
        """Tells something worth one line."""
        ...

    def warn(self, message: str) -> None:
        """Tells something that the user should look at."""
        ...


class Silent:
    """A ``Progress`` that shows nothing."""

    def task(self, name: str, total: int | None) -> AbstractContextManager[Advance]:
        """Shows nothing."""
        return nullcontext(_nothing)

    def say(self, message: str) -> None:
        """Shows nothing."""

    def warn(self, message: str) -> None:
        """Shows nothing."""


def _nothing(count: int, note: str = "") -> None:
    pass
