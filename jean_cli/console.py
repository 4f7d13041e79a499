"""Output of a command: progress and messages on stderr, the result on stdout."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from jean.errors import JeanError
from jean.launch import rank_index
from jean.progress import Advance

_PLAIN_EVERY_S = 10.0  # seconds between two progress lines of one task when stderr is no terminal


class Reporter:
    """A ``jean.progress.Progress`` for one command.

    Args:
        json_output: print the result as one JSON document.
        quiet: print no progress and no messages, only warnings, the result and errors.
    """

    def __init__(self, json_output: bool = False, quiet: bool = False):
        self._json = json_output
        self._quiet = quiet
        self._bars: Any = None  # rich's display while a task is open on a terminal
        self._open_tasks = 0

    def task(self, name: str, total: int | None) -> AbstractContextManager[Advance]:
        """Shows a progress bar on a terminal, a line every ten seconds elsewhere, nothing with --quiet."""
        if self._quiet:
            return _hidden_task()
        return self._bar(name, total) if sys.stderr.isatty() else _plain_task(name, total)

    def say(self, message: str) -> None:
        """Prints a message on stderr, except with --quiet."""
        if not self._quiet:
            self._line(message)

    def warn(self, message: str) -> None:
        """Prints a warning on stderr, also with --quiet."""
        self._line(f"warning: {message}")

    def may_ask(self) -> bool:
        """Whether the user may be asked a question: not with --json or --quiet, which scripts use."""
        return not (self._json or self._quiet)

    def confirm(self, question: str) -> bool:
        """Asks a question on a terminal; False where nobody can be asked."""
        import typer

        if not (self.may_ask() and sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        return typer.confirm(one_line(question), err=True)

    def finish(self, result: dict[str, Any], text: str | None = None) -> None:
        """Prints the command's result on stdout.

        Args:
            result: what --json prints.
            text: what is printed without --json; None: the entries of ``result``, one per line.
        """
        if self._json:
            print_json(result)
        elif text is None:
            print(printable("\n".join(_lines(result))))
        elif text:
            print(printable(text))

    def _line(self, message: str) -> None:
        message = one_line(message)
        if self._bars is not None:
            self._bars.console.print(message, markup=False, highlight=False)
        else:
            print(message, file=sys.stderr, flush=True)

    @contextmanager
    def _bar(self, name: str, total: int | None) -> Iterator[Advance]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self._bars is None:
            columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            note = TextColumn("{task.fields[note]}", markup=False)
            self._bars = Progress(*columns, note, console=Console(stderr=True), transient=True)
            self._bars.start()
        bars = self._bars
        bar = bars.add_task(name, total=total, note="")
        self._open_tasks += 1

        def advance(count: int, note: str = "") -> None:
            bars.update(bar, advance=count, **({"note": note} if note else {}))

        try:
            yield advance
        finally:
            bars.remove_task(bar)
            self._open_tasks -= 1
            if not self._open_tasks:
                bars.stop()
                self._bars = None


class Follower(Reporter):
    """The reporter of every process but the first that ``torchrun`` starts: it prints nothing but errors."""

    def __init__(self) -> None:
        super().__init__(quiet=True)

    def warn(self, message: str) -> None:
        """Prints nothing: the first process prints the same."""

    def may_ask(self) -> bool:
        """Nobody is asked."""
        return False

    def finish(self, result: dict[str, Any], text: str | None = None) -> None:
        """Prints nothing."""


@contextmanager
def _hidden_task() -> Iterator[Advance]:
    yield lambda count, note="": None


@contextmanager
def _plain_task(name: str, total: int | None) -> Iterator[Advance]:
    started = last = time.monotonic()
    done = 0

    def advance(count: int, note: str = "") -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last >= _PLAIN_EVERY_S:
            last = now
            remaining = f", {(total - done) * (now - started) / done:.0f} s left" if total and 0 < done <= total else ""
            of = f" of {total}" if total else ""
            print(one_line(f"{name}: {done}{of}{remaining}  {note}".rstrip()), file=sys.stderr, flush=True)

    yield advance


def print_json(value: Any) -> None:
    """Prints one JSON document, in ASCII so that no locale can break it; NaN becomes null."""
    print(json.dumps(plain(value), indent=1, allow_nan=False))


def print_warning(message: str) -> None:
    """Prints a warning as one line on stderr."""
    print(one_line(f"warning: {message}"), file=sys.stderr, flush=True)


def print_error(error: JeanError) -> None:
    """Prints an error as one line on stderr."""
    rank = f"rank {rank_index()}: " if rank_index() else ""
    print(one_line(f"{rank}error: {error}"), file=sys.stderr, flush=True)


def print_json_error(error: JeanError) -> None:
    """Prints an error as a JSON document on stdout, with the facts that are known in spite of it."""
    parts = {"message": error.message, "remedy": error.remedy, "exit_code": error.exit_code}
    print_json({**error.facts, "error": {"type": type(error).__name__, **parts}})


def plain(value: Any) -> Any:
    """``value`` as JSON types: paths become text, numpy numbers become numbers, NaN and infinity become None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def one_line(message: str) -> str:
    """``message`` without line breaks and terminal control characters, which file names may contain."""
    return printable(" ".join(message.split("\n")))


def printable(text: str) -> str:
    """``text`` with control characters and undecodable bytes written as escapes."""
    return "".join(
        character if character == "\n" or character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _lines(value: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, item in plain(value).items():
        if isinstance(item, dict):
            yield from _lines(item, f"{prefix}{key}.")
        elif isinstance(item, float):
            yield f"{prefix}{key}: {item:.4g}"
        else:
            yield f"{prefix}{key}: {item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)}"
