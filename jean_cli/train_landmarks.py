"""``jean train-landmarks``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jean_cli.command import command
from jean_cli.console import Reporter
from jean_cli.options import Option, Output

if TYPE_CHECKING:
    from jean.train.landmarks.config import LandmarkConfig


@command(
    config="jean.train.landmarks.config:LandmarkConfig",
    options=[
        "preset",
        Option("table", metavar="FILE.csv"),
        Option("epochs", metavar="N"),
        Option("steps", metavar="N"),
    ],
    example="jean train-landmarks clips/ -o runs/landmarks",
)
def train_landmarks(
    data: Annotated[list[Path], typer.Argument(metavar="DATA...", help="Prepared clips of many people.")],
    output: Output,
    config: LandmarkConfig,
    reporter: Reporter,
) -> None:
    """Train the landmark autoencoder, which separates the mouth's motion from the face's (section 3.1, Eq. 1)."""
    from jean.train.landmarks.stage import train_landmarks

    reporter.finish(train_landmarks(data, output, config, reporter))
