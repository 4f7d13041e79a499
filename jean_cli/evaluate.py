"""``jean evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jean_cli.console import Reporter
from jean_cli.options import ConfigFile, DeviceName, Json, Quiet, Seed, Sets, Verbose, configure


def evaluate(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Videos, or folders of videos.")],
    reference: Annotated[
        Path | None, typer.Option(help="The video or the folder to compare with; folders pair by name.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the table as JSON and CSV.")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: DeviceName = None,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Score rendered videos against a reference."""
    from jean.metrics.evaluate import EvaluateConfig
    from jean.metrics.evaluate import evaluate as run

    reporter = Reporter(json_output, quiet)
    stage = configure(EvaluateConfig, config, sets, reference=reference, seed=seed, device=device)
    reporter.finish(run(results, stage, output, reporter))
