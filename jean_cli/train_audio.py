"""``jean train-audio``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jean_cli.console import Reporter
from jean_cli.options import ConfigFile, DeviceName, Json, Output, Quiet, Seed, Sets, Table, Verbose, configure


def train_audio(
    data: Annotated[list[Path], typer.Argument(metavar="DATA...", help="Prepared clips of many people, with sound.")],
    landmarks: Annotated[Path, typer.Option(metavar="RUN", help="What train-landmarks wrote.")],
    output: Output,
    preset: Annotated[str | None, typer.Option(metavar="paper|small", help="The paper's, or for little data.")] = None,
    audio_features: Annotated[str | None, typer.Option(help="Name of the extractor.")] = None,
    table: Table = None,
    epochs: Annotated[int | None, typer.Option(help="Times over all frames.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps, instead of epochs.")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: DeviceName = None,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Learn speech that goes with lip motion (section 3.1, Eq. 2)."""
    from jean.train.audio.config import AudioConfig
    from jean.train.audio.stage import train_audio as run

    reporter = Reporter(json_output, quiet)
    options = {"preset": preset, "audio_features": audio_features, "table": table, "epochs": epochs, "steps": steps}
    stage = configure(AudioConfig, config, sets, seed=seed, device=device, **options)
    reporter.finish(run(data, landmarks, output, stage, reporter))
