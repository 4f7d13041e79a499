"""``jean demo``."""

from __future__ import annotations

from typing import Annotated

import typer

from jean_cli.console import Reporter
from jean_cli.options import ConfigFile, DeviceName, Json, Output, Quiet, Seed, Sets, Verbose, configure


def demo(
    output: Output,
    short: Annotated[bool, typer.Option("--short", help="Smaller and quicker; to see that everything runs.")] = False,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: DeviceName = None,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run every stage on a synthetic speaker, with no download, and write a report."""
    from jean.demo import DemoConfig, run_demo

    reporter = Reporter(json_output, quiet)
    stage = configure(DemoConfig, config, sets, short=short or None, seed=seed, device=device)
    reporter.finish(run_demo(output, stage, reporter))
