"""``jean train-landmarks``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jean_cli.console import Reporter
from jean_cli.options import ConfigFile, DeviceName, Json, Output, Quiet, Seed, Sets, Table, Verbose, configure


def train_landmarks(
    data: Annotated[list[Path], typer.Argument(metavar="DATA...", help="Prepared clips of many people.")],
    output: Output,
    preset: Annotated[str | None, typer.Option(metavar="paper|small", help="The paper's, or for little data.")] = None,
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
    """Learn to tell lip motion from the rest of the face (section 3.1, Eq. 1)."""
    from jean.train.landmarks.config import LandmarkConfig
    from jean.train.landmarks.stage import train_landmarks as run

    reporter = Reporter(json_output, quiet)
    options = {"preset": preset, "table": table, "epochs": epochs, "steps": steps, "seed": seed, "device": device}
    reporter.finish(run(data, output, configure(LandmarkConfig, config, sets, **options), reporter))
