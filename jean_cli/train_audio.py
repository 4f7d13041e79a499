"""``jean train-audio``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jean_cli.command import command
from jean_cli.console import Reporter
from jean_cli.options import Option, Output

if TYPE_CHECKING:
    from jean.train.audio.config import AudioConfig


@command(
    config="jean.train.audio.config:AudioConfig",
    options=[
        "preset",
        Option("audio_features", metavar="NAME"),
        Option("table", metavar="FILE.csv"),
        Option("epochs", metavar="N"),
        Option("steps", metavar="N"),
    ],
    example="jean train-audio clips/ --landmarks runs/landmarks -o runs/audio",
)
def train_audio(
    data: Annotated[list[Path], typer.Argument(metavar="DATA...", help="Prepared clips of many people, with sound.")],
    landmarks: Annotated[Path, typer.Option(metavar="RUN", help="Run folder of train-landmarks.")],
    output: Output,
    config: AudioConfig,
    reporter: Reporter,
) -> None:
    """Train the audio encoder, which embeds speech next to the mouth motion it goes with (section 3.1, Eq. 2)."""
    from jean.train.audio.stage import train_audio

    reporter.finish(train_audio(data, landmarks, output, config, reporter))
