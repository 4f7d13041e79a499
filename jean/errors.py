"""Errors that a user can act on, with the exit codes of the command line."""


class JeanError(Exception):
    """Base class of all expected failures.

    Args:
        message: one line that says what is wrong.
        remedy: one line that says what to do about it; it is shown after the message.

    Attributes:
        exit_code: what the command line returns to the shell.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = ""):
        super().__init__(message)
        self.message = message
        self.remedy = remedy

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
        message: one line; by default "interrupted".
    """

    def __init__(self, signum: int, message: str = ""):
        super().__init__(message or "interrupted", "Run the same command again to resume.")
        self.exit_code = 128 + signum


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` is a failed allocation in Python, numpy or torch (which has no class for it on the CPU)."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    signs = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
