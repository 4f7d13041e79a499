"""``jean models``: list, pull, path, verify, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jean.errors import ArtefactError, UsageError
from jean_cli.command import command
from jean_cli.console import Reporter

app = typer.Typer(
    name="models",
    help="Pretrained weights: list, pull, path, verify, import.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Files of the register; none: all.")]
For = Annotated[str | None, typer.Option("--for", metavar="COMMAND", help="Only the files that one command needs.")]


@command(name="list", example="jean models list --for prepare")
def list_(reporter: Reporter, for_: For = None) -> None:
    """List every weights file: its state, what uses it, its licence."""
    from jean.weights import store as weights

    states = [weights.state(name) for name in _names(None, for_)]
    lines = [f"Folders searched: {', '.join(str(folder) for folder in weights.folders())}"]
    for item in states:
        size = f" ({item['bytes'] / 1e6:.1f} MB)" if item["bytes"] else ""
        lines += [f"{item['state']:8}{item['name']}{size}", f"        for {item['used_by']}"]
        lines += [f"        licence: {item['licence']}; sha256: {item['hash']}"]
        lines += [f"        {item['remedy']}"] if item["remedy"] else []
    reporter.finish({"models": states}, "\n".join(lines))


@command(example="jean models pull --for prepare")
def pull(
    reporter: Reporter,
    names: Names = None,
    for_: For = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="State that you may use weights with a restricted licence.")
    ] = False,
) -> None:
    """Download weights, check their sha256 and install them; an interrupted download is resumed."""
    from jean.weights import store as weights

    selection = _names(names, for_)
    # ask about every licence before the first download, which may take an hour
    accepted = {name: _accepts(name, accept_licence, reporter) for name in selection}
    paths = {name: weights.pull(name, accepted[name], reporter) for name in selection}
    reporter.finish({"pulled": paths}, "\n".join(str(path) for path in paths.values()))


@command(example="jean models path face_landmarker.task")
def path(
    reporter: Reporter,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="File; none: the folder of all files.")] = None,
) -> None:
    """Print the path of a weights file, or of the folder that pull writes to."""
    from jean.weights import store as weights

    location = weights.find(name) if name else weights.folders()[0]
    reporter.finish({"path": location}, str(location))


@command(example="jean models verify")
def verify(reporter: Reporter, names: Names = None) -> None:
    """Check the sha256 of installed weights; fails if one differs, or a file named here is missing."""
    from jean.weights import store as weights

    for name in names or []:
        weights.find(name)
    states = [weights.state(name) for name in names or weights.register()]
    wrong = [item for item in states if item["state"] == "wrong"]
    if wrong:
        files = ", ".join(item["path"] for item in wrong)
        raise ArtefactError(f"not the registered content: {files}.", wrong[0]["remedy"])
    reporter.finish({"models": states}, "\n".join(f"{item['state']:8}{item['name']}" for item in states))


@command(name="import", example="jean models import /media/usb/weights")
def import_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that holds the files, or their archives.")],
    reporter: Reporter,
) -> None:
    """Install weights from a folder, for machines without internet; a file with another sha256 is refused."""
    from jean.weights.importer import import_from

    result = import_from(folder, reporter)
    for file, reason in result["wrong"].items():
        reporter.warn(f"{file} is not imported: {reason}.")
    if not result["imported"] and not result["there"]:
        raise ArtefactError(f"no file in {folder} has its registered content.", "Download them again.")
    lines = [f"imported {path}" for path in result["imported"].values()]
    lines += [f"already installed {path}" for path in result["there"].values()]
    reporter.finish(result, "\n".join(lines))


for _command in (list_, pull, path, verify, import_):
    _command.add_to(app)


def _names(names: list[str] | None, for_command: str | None) -> list[str]:
    """The files that were named, or that one command needs, or all.

    Raises:
        UsageError: names and a command, or a command that needs no weights.
    """
    from jean.weights import store as weights

    register = weights.register()
    if for_command is None:
        return list(names or register)
    if names:
        raise UsageError("--for and names contradict each other.", "Give one of them.")
    needed = [name for name, item in register.items() if item.command == for_command]
    if not needed:
        commands = ", ".join(sorted({item.command for item in register.values()}))
        raise UsageError(f"no weights are for a command {for_command!r}.", f"Choose from: {commands}.")
    return needed


def _accepts(name: str, accepted: bool, reporter: Reporter) -> bool:
    """Whether the user accepts the licence of a file; asks on a terminal, never a script.

    Raises:
        UsageError: a restricted licence that was not accepted.
    """
    from jean.weights import store as weights

    item = weights.entry(name)
    if accepted or not item.restricted or weights.locate(name) is not None:
        return accepted
    if reporter.confirm(f"{name} may not be used commercially ({item.licence}). May you use it?"):
        return True
    raise UsageError(
        f"{name} may not be used commercially ({item.licence}).",
        f"If you may use it: jean models pull {name} --accept-licence",
    )
