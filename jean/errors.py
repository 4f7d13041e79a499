"""Errors that a user can act on, with the exit codes of the command line."""

from __future__ import annotations

import errno
import threading
from collections.abc import Mapping
from typing import Any

_LITTLE_BYTES = 64 << 20  # less free memory than this, a few frames of 4K, is none
# in the texts of errors of C++ libraries
_MEMORY_SIGNS = (
    "can't allocate memory",
    "out of memory",
    "ALLOC_FAILED",
    "bad_alloc",
    "bad allocation",
    "Insufficient memory",
    "Cannot allocate memory",
    "can't start new thread",
    "failed to map segment",  # a shared library that does not fit
)


class JeanError(Exception):
    """Base class of all expected failures.

    Args:
        message: one line that says what is wrong.
        remedy: one line that says what to do about it; it is shown after the message.
        facts: what is known in spite of the failure, as JSON values; ``--json`` prints it beside the error.

    Attributes:
        exit_code: what the command line returns to the shell.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "", facts: Mapping[str, Any] | None = None):
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.facts = dict(facts or {})

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class UsageError(JeanError):
    """A wrong option, an unknown configuration key, or an impossible combination of options."""

    exit_code = 2


class InputError(JeanError):
    """Media or data that cannot be used, for example without a face, without audio, or of different lengths."""

    exit_code = 3


class ArtefactError(JeanError):
    """A clip, run or checkpoint that is damaged, untrusted, or incompatible."""

    exit_code = 4


class SetupError(JeanError):
    """A missing requirement of the machine: weights, a package, disk space, memory, a free lock."""

    exit_code = 5


class DivergedError(JeanError):
    """Training produced NaN or infinity."""

    exit_code = 6


class Interrupted(JeanError):
    """The work was saved and stopped after a signal.

    Args:
        signum: number of the signal; the exit code is 128 + ``signum`` (130 for Ctrl-C, 143 for SIGTERM).
        message: one line; by default "interrupted."
    """

    def __init__(self, signum: int, message: str = ""):
        super().__init__(message or "interrupted.", "Run the same command again to resume.")
        self.exit_code = 128 + signum


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether ``error``, or an error that caused it, is a failed allocation or a thread that could not be started.

    Python, numpy and PyAV raise ``MemoryError``; the system calls give ENOMEM; torch, OpenCV and other C++ libraries
    have no class for it.
    """
    while error is not None:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        of_cpp = isinstance(error, (RuntimeError, ImportError)) or type(error).__module__.startswith("cv2")
        if of_cpp and any(sign in str(error) for sign in _MEMORY_SIGNS):
            return True
        error = error.__cause__
    return False


def is_exhausted() -> bool:
    """Whether a little memory cannot be allocated, or no thread can be started.

    For libraries whose errors do not say whether the machine or a file is at fault.
    """
    try:
        bytearray(_LITTLE_BYTES)
        threading.Thread(target=lambda: None).start()
    except (MemoryError, RuntimeError):
        return True
    return False
