"""Errors a user can act on, each with the exit code that a shell script sees."""


class JeanError(Exception):
    """Base of every expected failure.

    Args:
        message: one line that says what is wrong.
        remedy: one line that says what to do about it; shown after the message.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = ""):
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class UsageError(JeanError):
    """Wrong option, unknown configuration key, impossible combination."""

    exit_code = 2


class InputError(JeanError):
    """Media or data that cannot be used: no face, no sound, mismatch of lengths."""

    exit_code = 3


class ArtefactError(JeanError):
    """A clip, run or checkpoint that is corrupt, untrusted, or made for something else."""

    exit_code = 4


class SetupError(JeanError):
    """The machine lacks something: weights, a package, disk, memory, a free lock."""

    exit_code = 5


class DivergedError(JeanError):
    """Training produced a value that is not finite."""

    exit_code = 6


class Interrupted(JeanError):
    """Stopped by a signal after saving; ``signum`` decides between 130 and 143."""

    def __init__(self, signum: int, message: str = ""):
        super().__init__(message or "interrupted", "Run the same command again to go on.")
        self.exit_code = 128 + signum


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, in Python, numpy or torch (which has no class of its own for the CPU)."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    signs = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
