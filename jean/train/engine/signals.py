"""SIGTERM and SIGINT that wait for a whole step, and cut short what needs no end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Stop(BaseException):
    """Raised where a signal may interrupt; no ``except Exception`` of a stage swallows it."""


class StopSignals:
    """Notes SIGTERM and SIGINT while it is entered, and puts the old handlers back afterwards.

    Only the main thread can have handlers: in another thread it does nothing. A signal that the parent
    made us ignore (``nohup``, a background job) stays ignored. A second SIGINT ends the step at once, for
    somebody who does not want to wait for it.

    Attributes:
        signum: the first signal that came, or None.
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
        """Within, a signal raises ``Stop`` at once; one that came before raises it at the start."""
        self._interruptible = True
        try:
            if self.signum is not None:
                raise Stop
            yield
        finally:
            self._interruptible = False

    def _note(self, signum: int, frame: FrameType | None) -> None:
        impatient = self.signum == signal.SIGINT == signum
        self.signum = self.signum or signum
        if self._interruptible or impatient:
            self._interruptible = False  # a further signal must not raise again while this one unwinds
            raise Stop
