"""SIGTERM and SIGINT during training: they wait for the end of a step, and interrupt everything else at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Stop(BaseException):
    """A signal interrupts the training. Derived from BaseException, so that ``except Exception`` does not catch it."""


class StopSignals:
    """Context manager that records SIGTERM and SIGINT, and restores the previous handlers on exit.

    Python allows signal handlers in the main thread only; in another thread the context does nothing. A signal that the
    process already ignores (``nohup``, a background job) stays ignored. A second SIGINT interrupts the step at once.

    Attributes:
        signum: the first signal received, or None.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._interruptible = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(signum) not in (signal.SIG_IGN, None):
                    self._previous[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Context in which a signal raises ``Stop`` at once. A signal received earlier raises it on entry."""
        self._interruptible = True
        try:
            if self.signum is not None:
                raise Stop
            yield
        finally:
            self._interruptible = False

    def _note(self, signum: int, frame: FrameType | None) -> None:
        second_interrupt = self.signum == signal.SIGINT == signum
        self.signum = self.signum or signum
        if self._interruptible or second_interrupt:
            self._interruptible = False  # a further signal must not raise again while the stack unwinds
            raise Stop
