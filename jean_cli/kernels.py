"""``jean kernels``: status, build."""

from __future__ import annotations

from typing import Annotated

import typer

from jean_cli.console import Reporter
from jean_cli.options import Json, Quiet, Verbose

app = typer.Typer(
    name="kernels", help="The renderer's compiled code: status, build.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def status(json_output: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Show whether the kernels are built, and which instruction sets they can use here."""
    from jean.render import native

    found = native.status()
    lines = [f"library: {found['library'] or 'MISSING'}", f"instruction sets: {', '.join(found['targets']) or 'none'}"]
    if found["lost"]:
        lines += [f"lost: {found['lost']}", f"  run: {found['remedy']}"]
    Reporter(json_output, quiet).finish(found, "\n".join(lines))


@app.command()
def build(
    compiler: Annotated[
        str | None, typer.Option(metavar="NAME", help="g++, clang++, ziglang; without it the first there is.")
    ] = None,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compile the kernels, with the system's C++ compiler or with `pip install ziglang`."""
    from jean.render import native

    reporter = Reporter(json_output, quiet)
    path = native.build(compiler)
    reporter.finish(native.status() | {"built": str(path)}, f"{path}")
