"""``jean models``: list, pull, path, verify."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from jean.errors import ArtefactError
from jean_cli.console import Reporter
from jean_cli.options import Json, Quiet, Verbose

app = typer.Typer(
    name="models", help="Pretrained weights: list, pull, path, verify.", no_args_is_help=True, rich_markup_mode=None
)

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Which; all of them if none is named.")]


@app.command(name="list")
def list_(json_output: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Show every file: where it is, what needs it, its licence."""
    from jean import weights

    states = [weights.state(name) for name in weights.register()]
    lines = [f"Looked for in: {', '.join(str(folder) for folder in weights.folders())}"]
    for item in states:
        lines += [f"{item['state']:8}{item['name']}", f"        for {item['used_by']}; licence: {item['licence']}"]
        lines += [f"        {item['remedy']}"] if item["remedy"] else []
    _finish(Reporter(json_output, quiet), states, lines)


@app.command()
def pull(
    names: Names = None,
    accept_licence: Annotated[bool, typer.Option("--accept-licence", help="You may use restricted weights.")] = False,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Download files, check their sha256, install them; goes on where an earlier call stopped."""
    from jean import weights

    reporter = Reporter(json_output, quiet)
    paths = {name: weights.pull(name, accept_licence, reporter) for name in names or weights.register()}
    reporter.finish({"pulled": paths}, "\n".join(str(path) for path in paths.values()))


@app.command()
def path(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Which; none: the folder.")] = None,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Print where a file is, or the folder that pull writes to."""
    from jean import weights

    found = weights.find(name) if name else weights.folders()[0]
    Reporter(json_output, quiet).finish({"path": found}, str(found))


@app.command()
def verify(names: Names = None, json_output: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Hash the files that are there; fails if one has another content, or a named one is missing."""
    from jean import weights

    reporter = Reporter(json_output, quiet)
    for name in names or []:
        weights.find(name)
    states = [weights.state(name) for name in names or weights.register()]
    wrong = [item for item in states if item["state"] == "wrong"]
    if wrong:
        files = ", ".join(item["path"] for item in wrong)
        raise ArtefactError(f"not the registered content: {files}.", wrong[0]["remedy"])
    _finish(reporter, states, [f"{item['state']:8}{item['name']}" for item in states])


def _finish(reporter: Reporter, states: list[dict[str, Any]], lines: list[str]) -> None:
    reporter.finish({"models": states}, "\n".join(lines))
