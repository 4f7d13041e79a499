"""``jean train-nerf``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jean_cli.command import command
from jean_cli.console import Reporter
from jean_cli.options import Option, Output

if TYPE_CHECKING:
    from jean.train.nerf.config import NerfConfig


@command(
    config="jean.train.nerf.config:NerfConfig",
    options=[
        Option("preset", metavar="gaussian|fast|paper|…"),
        Option("steps", metavar="N"),
        Option("minutes", metavar="MINUTES"),
        Option("audio_run", flag="--audio", metavar="RUN"),
        Option("expression_run", flag="--expr", metavar="RUN"),
        Option("method", metavar="NAME"),
        "expression",
        "backend",
        "allow_different_people",
    ],
    example="jean train-nerf clips/me -o runs/me --minutes 10",
)
def train_nerf(
    clips: Annotated[list[Path], typer.Argument(metavar="CLIP...", help="Prepared clips of one person.")],
    output: Output,
    config: NerfConfig,
    reporter: Reporter,
) -> None:
    """Train one person's talking head from prepared clips; an interrupted training is resumed."""
    from jean.train.nerf.train import train_nerf

    reporter.finish(train_nerf(clips, output, config, reporter))
