"""``jean train-nerf``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jean_cli.console import Reporter
from jean_cli.options import Backend, ConfigFile, DeviceName, Json, Output, Quiet, Seed, Sets, Verbose, configure


def train_nerf(
    clips: Annotated[list[Path], typer.Argument(metavar="CLIP...", help="Prepared clips of one person.")],
    output: Output,
    preset: Annotated[str | None, typer.Option(metavar="fast|paper", help="Tri-planes, or the paper's MLP.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Instead of --steps: turned into steps once.")] = None,
    audio: Annotated[Path | None, typer.Option(metavar="RUN", help="What train-audio wrote.")] = None,
    expr: Annotated[Path | None, typer.Option(metavar="RUN", help="What train-expr wrote.")] = None,
    method: Annotated[
        str | None, typer.Option(help="jean, jean-plain-audio, audio-only, expression-only, a, b, c or d.")
    ] = None,
    expression: Annotated[
        str | None, typer.Option(metavar="upper|all|…", help="Coefficients of the upper face only, or all.")
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: DeviceName = None,
    backend: Backend = None,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Learn one person's head from prepared clips; goes on where an earlier run stopped."""
    from jean.train.nerf.train import NerfConfig
    from jean.train.nerf.train import train_nerf as run

    reporter = Reporter(json_output, quiet)
    stage = configure(
        NerfConfig,
        config,
        sets,
        preset=preset,
        steps=steps,
        minutes=minutes,
        audio_run=audio,
        expression_run=expr,
        method=method,
        expression=expression,
        seed=seed,
        device=device,
        backend=backend,
    )
    reporter.finish(run(clips, output, stage, reporter))
