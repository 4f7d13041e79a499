"""``jean train``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jean_cli.command import command
from jean_cli.console import Reporter
from jean_cli.options import Option, Output

if TYPE_CHECKING:
    from jean.train.nerf.many_config import TrainJobsConfig


@command(
    config="jean.train.nerf.many_config:TrainJobsConfig",
    options=[
        Option("jobs", metavar="FILE.csv"),
        Option("settings", metavar="FILE.yaml"),
        Option("workers", metavar="N"),
        Option("cluster", metavar="ADDRESS"),
    ],
    example="jean train --jobs people.csv -o runs --cluster auto --set gpus=1",
)
def train(output: Output, config: TrainJobsConfig, reporter: Reporter) -> None:
    """Train heads of many people, as train-nerf does, from a table with one line per person."""
    from jean.train.nerf.many import train_jobs

    reporter.finish(train_jobs(config, output, reporter))
