"""``jean models``: list, pull, path, verify, import."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from jean.errors import ArtefactError, UsageError
from jean_cli.console import Reporter
from jean_cli.options import Json, Quiet, Verbose

app = typer.Typer(
    name="models",
    help="Pretrained weights: list, pull, path, verify, import.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Which; all of them if none is named.")]
For = Annotated[str | None, typer.Option("--for", metavar="COMMAND", help="Those that one command of jean needs.")]


@app.command(name="list")
def list_(command: For = None, json_output: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Show every file: where it is, what needs it, its licence."""
    from jean.weights import store as weights

    states = [weights.state(name) for name in _chosen(None, command)]
    lines = [f"Looked for in: {', '.join(str(folder) for folder in weights.folders())}"]
    for item in states:
        size = f" ({item['bytes'] / 1e6:.1f} MB)" if item["bytes"] else ""
        lines += [f"{item['state']:8}{item['name']}{size}", f"        for {item['used_by']}"]
        lines += [f"        licence: {item['licence']}; sha256: {item['hash']}"]
        lines += [f"        {item['remedy']}"] if item["remedy"] else []
    _finish(Reporter(json_output, quiet), states, lines)


@app.command()
def pull(
    names: Names = None,
    command: For = None,
    accept_licence: Annotated[bool, typer.Option("--accept-licence", help="You may use restricted weights.")] = False,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Download files, check their sha256, install them; goes on where an earlier call stopped."""
    from jean.weights import store as weights

    reporter = Reporter(json_output, quiet)
    chosen = _chosen(names, command)
    # every licence before the first download: nobody comes back after an hour to a question
    accepted = {name: _accepts(name, accept_licence, json_output or quiet) for name in chosen}
    paths = {name: weights.pull(name, accepted[name], reporter) for name in chosen}
    reporter.finish({"pulled": paths}, "\n".join(str(path) for path in paths.values()))


@app.command()
def path(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Which; none: the folder.")] = None,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Print where a file is, or the folder that pull writes to."""
    from jean.weights import store as weights

    found = weights.find(name) if name else weights.folders()[0]
    Reporter(json_output, quiet).finish({"path": found}, str(found))


@app.command()
def verify(names: Names = None, json_output: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Hash the files that are there; fails if one has another content, or a named one is missing."""
    from jean.weights import store as weights

    reporter = Reporter(json_output, quiet)
    for name in names or []:
        weights.find(name)
    states = [weights.state(name) for name in names or weights.register()]
    wrong = [item for item in states if item["state"] == "wrong"]
    if wrong:
        files = ", ".join(item["path"] for item in wrong)
        raise ArtefactError(f"not the registered content: {files}.", wrong[0]["remedy"])
    _finish(reporter, states, [f"{item['state']:8}{item['name']}" for item in states])


@app.command(name="import")
def import_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that holds the files, or their archives.")],
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Copy weights from a folder, for machines without internet; what has another content is refused."""
    from jean.weights.importer import import_from

    reporter = Reporter(json_output, quiet)
    found = import_from(folder, reporter)
    for file, reason in found["wrong"].items():
        reporter.warn(f"{file} is not taken: {reason}.")
    if not found["imported"] and not found["there"]:
        raise ArtefactError(f"no file in {folder} has its registered content.", "Download them again.")
    lines = [f"imported {path}" for path in found["imported"].values()]
    lines += [f"already there {path}" for path in found["there"].values()]
    reporter.finish(found, "\n".join(lines))


def _chosen(names: list[str] | None, command: str | None) -> list[str]:
    from jean.weights import store as weights

    known = weights.register()
    if command is None:
        return list(names or known)
    if names:
        raise UsageError("--for and names contradict each other.", "Give one of them.")
    found = [name for name, item in known.items() if item.command == command]
    if not found:
        commands = ", ".join(sorted({item.command for item in known.values()}))
        raise UsageError(f"no weights are for a command {command!r}.", f"Choose from: {commands}.")
    return found


def _accepts(name: str, accepted: bool, silent: bool) -> bool:
    """Whether the licence of ``name`` is accepted; asked for on a terminal."""
    from jean.weights import store as weights

    item = weights.entry(name)
    if accepted or not item.restricted or weights.locate(name) is not None:
        return accepted
    if not silent and sys.stdin.isatty() and sys.stderr.isatty():
        question = f"{name} may not be used commercially ({item.licence}). May you use it?"
        if typer.confirm(question, err=True):
            return True
    raise UsageError(
        f"{name} may not be used commercially ({item.licence}).",
        f"If you may use it: jean models pull {name} --accept-licence",
    )


def _finish(reporter: Reporter, states: list[dict[str, Any]], lines: list[str]) -> None:
    reporter.finish({"models": states}, "\n".join(lines))
