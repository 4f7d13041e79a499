"""``jean inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jean_cli.command import command
from jean_cli.console import Reporter
from jean_cli.options import Option, Output

if TYPE_CHECKING:
    from jean.inspection.config import InspectConfig


@command(
    config="jean.inspection.config:InspectConfig",
    options=[Option("strip", metavar="FROM..TO")],
    example="jean inspect runs/me -o report --strip sad..happy",
)
def inspect(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of any training command.")],
    output: Output,
    config: InspectConfig,
    reporter: Reporter,
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="DATA", help="Clips for the t-SNE of an expression run. Repeatable."),
    ] = None,
) -> None:
    """Write a page about a training: loss and retrieval curves, t-SNE of expressions, strips between expressions."""
    from jean.inspection.run import inspect_run

    reporter.finish(inspect_run(run, data or [], output, config, reporter))
