"""The ``jean`` executable: runs a command and turns every failure into one line and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from types import FrameType
from typing import Annotated, Any

import typer

from jean import __version__
from jean.errors import Interrupted, JeanError, SetupError, UsageError, is_out_of_memory
from jean.launch import rank_index
from jean.tuning import limit_idle_spinning
from jean_cli import (
    act,
    console,
    demo,
    doctor,
    evaluate,
    export,
    inspect,
    kernels,
    models,
    prepare,
    render,
    train,
    train_audio,
    train_expr,
    train_landmarks,
    train_lips,
    train_motion,
    train_nerf,
    verify,
)

# a full disk, a file system or folder that cannot be written: the machine's fault, not the program's
_MACHINE_ERRORS = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.EMFILE}
_NO_PATHS = {errno.ENAMETOOLONG, errno.ELOOP}  # a text that cannot be a path

# in the order of the work
COMMANDS = (
    prepare.prepare,
    train_landmarks.train_landmarks,
    train_audio.train_audio,
    train_expr.train_expr,
    train_lips.train_lips,
    train_motion.train_motion,
    train_nerf.train_nerf,
    train.train,
    act.act,
    render.render,
    export.export,
    evaluate.evaluate,
    inspect.inspect,
    demo.demo,
    verify.verify,
    doctor.doctor,
)

app = typer.Typer(
    name="jean",
    help="Talking heads driven by speech (lips), expression and pose.",
    epilog="Help on a command: jean COMMAND --help. Its configuration keys: jean COMMAND --help-config.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for _command in COMMANDS:
    _command.add_to(app)
app.add_typer(models.app)
app.add_typer(kernels.app)


def _show_version(requested: bool) -> None:
    if requested:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


class _Terminated(BaseException):
    """Raised on SIGTERM: unwinds like KeyboardInterrupt, so that temporary files and locks are removed."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    limit_idle_spinning()  # before any command imports torch
    warnings.showwarning = _show_warning
    code = _run(arguments, json_output="--json" in options, verbose="--verbose" in options)
    sys.exit(code)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Shows a warning of Python, of this project or of a library, as one line and without its source line."""
    console.print_warning(str(message))


def _run(arguments: list[str], json_output: bool, verbose: bool) -> int:
    """Runs one command line, reports a failure, and returns the exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="jean", standalone_mode=False)
        if code == 128 + signal.SIGINT:  # newer typer turns Ctrl-C into this code
            raise KeyboardInterrupt
        _flush()
        return code if isinstance(code, int) else 0
    except BaseException as error:
        try:
            return _report(error, json_output, verbose)
        except BrokenPipeError:
            return _leave_quietly()


def _report(error: BaseException, json_output: bool, verbose: bool) -> int:
    """Reports how a command ended, and returns the exit code."""
    if _is_closed_pipe(error):
        return _leave_quietly()
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)  # type: ignore[attr-defined]
        return UsageError.exit_code
    if verbose and not _is_usage(error) and not isinstance(error, (SystemExit, typer.Exit)):
        import traceback

        traceback.print_exc()
    failure = _explain(error)
    if failure is None:
        return int(error.code or 0) if isinstance(error, SystemExit) else 0
    shown = [console.print_error, *([console.print_json_error] if json_output and rank_index() == 0 else [])]
    for show in shown:
        try:
            show(failure)
            _flush()
        except BrokenPipeError:
            raise
        except OSError:  # standard output or standard error is full: the other one and the exit code remain
            _discard_output()
    return failure.exit_code


def _explain(error: BaseException) -> JeanError | None:
    """The failure as an error of ``jean.errors``; None if the command simply ended."""
    if is_out_of_memory(error) and not isinstance(error, SetupError):
        return SetupError(
            "not enough memory.", "Choose a smaller --size or a larger --memory, or close other programs."
        )
    if isinstance(error, JeanError):
        return error
    if isinstance(error, SystemExit) and not isinstance(error.code, str):
        return None
    if isinstance(error, _Terminated):
        return Interrupted(signal.SIGTERM, "terminated.")
    if isinstance(error, (KeyboardInterrupt, typer.Abort)) or isinstance(error.__cause__, KeyboardInterrupt):
        return Interrupted(signal.SIGINT, "interrupted.")
    if _is_usage(error):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "jean"
        return UsageError(error.format_message(), f"See: {command} --help")  # type: ignore[attr-defined]
    if isinstance(error, OSError) and error.errno in _MACHINE_ERRORS:
        where = f" ({error.filename})" if error.filename else ""
        return SetupError(f"{error.strerror}{where}.", "Free some space or choose another --output.")
    if isinstance(error, OSError) and error.errno in _NO_PATHS:
        return UsageError(f"{error.strerror}: {error.filename!s:.80}.", "Give another path.")
    if isinstance(error, (ImportError, OSError)):
        from jean.environment import missing_library, missing_module

        library = missing_library(str(error))
        if library is not None:
            return library
        if "shared object" in str(error):  # it is there, but the system refuses to load it
            return SetupError(f"a library cannot be loaded: {error!s:.120}.", "Is there enough memory? Reinstall it.")
        if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("jean"):
            return missing_module(error.name)
    if isinstance(error, Exception):
        return JeanError(f"internal error: {type(error).__name__}: {error}", "(run with --verbose for the traceback)")
    return JeanError(f"stopped: {error}")


def _is_usage(error: Any) -> bool:
    """Whether typer rejected the command line; recognised by attributes, as its classes moved between versions."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def _is_closed_pipe(error: BaseException | None) -> bool:
    """Whether the reader of standard output closed it; typer hides that behind a SystemExit."""
    if isinstance(error, SystemExit):
        error = error.__context__
    return isinstance(error, BrokenPipeError)


def _flush() -> None:
    """Flushes standard output while a full disk or a closed pipe can still be reported."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _leave_quietly() -> int:
    """Ends silently with the exit code of SIGPIPE, as other tools do when their output is closed."""
    _discard_output()
    return 128 + signal.SIGPIPE


def _discard_output() -> None:
    """Drops what standard output still holds: Python flushes it at exit, and would print an error."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise _Terminated
