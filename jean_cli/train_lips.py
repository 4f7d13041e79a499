"""``jean train-lips``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jean_cli.command import command
from jean_cli.console import Reporter
from jean_cli.options import Option, Output

if TYPE_CHECKING:
    from jean.train.lips.config import LipsConfig


@command(
    config="jean.train.lips.config:LipsConfig",
    options=[
        Option("table", metavar="FILE.csv"),
        Option("features", metavar="NAME"),
        Option("teacher", metavar="RUN"),
        Option("steps", metavar="N"),
        Option("synthetic_steps", metavar="N"),
    ],
    example="jean train-lips clips/ -o runs/lips",
)
def train_lips(
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA...", help="Prepared clips of many people, with sound; tracks alone suffice."),
    ],
    output: Output,
    config: LipsConfig,
    reporter: Reporter,
) -> None:
    """Train the lip prior, which tells lips from any voice, on your own corpus; render --lips RUN uses it."""
    from jean.train.lips.train import train_lips

    reporter.finish(train_lips(data, output, config, reporter))
