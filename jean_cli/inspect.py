"""``jean inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jean_cli.console import Reporter
from jean_cli.options import ConfigFile, DeviceName, Json, Output, Quiet, Seed, Sets, Verbose, configure


def inspect(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="What a training command wrote.")],
    output: Output,
    data: Annotated[
        list[Path] | None, typer.Option(help="Clips for the t-SNE of an expression run; may be repeated.")
    ] = None,
    strip: Annotated[
        list[str] | None, typer.Option(help="Of a head: from one expression to another, sad..happy; may be repeated.")
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: DeviceName = None,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what a run learned: loss and retrieval curves, t-SNE of expressions, interpolation strips."""
    from jean.inspection.run import InspectConfig, inspect_run

    reporter = Reporter(json_output, quiet)
    stage = configure(InspectConfig, config, sets, strip=tuple(strip) if strip else None, seed=seed, device=device)
    reporter.finish(inspect_run(run, data or [], output, stage, reporter))
