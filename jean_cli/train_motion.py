"""``jean train-motion``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jean_cli.command import command
from jean_cli.console import Reporter
from jean_cli.options import Option, Output

if TYPE_CHECKING:
    from jean.train.motion.config import MotionConfig


@command(
    config="jean.train.motion.config:MotionConfig",
    options=[
        "preset",
        Option("table", metavar="FILE.csv"),
        Option("epochs", metavar="N"),
        Option("steps", metavar="N"),
    ],
    example="jean train-motion tracks/ -o runs/motion",
)
def train_motion(
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA...", help="Prepared clips of many people, with sound; tracks alone suffice."),
    ],
    output: Output,
    config: MotionConfig,
    reporter: Reporter,
) -> None:
    """Train the motion model: expression, gaze, blinks and head pose that fit a voice, an emotion and each other."""
    from jean.train.motion.stage import train_motion

    reporter.finish(train_motion(data, output, config, reporter))
