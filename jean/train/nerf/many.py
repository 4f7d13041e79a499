"""``jean train``: heads of many people, one job each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jean.config import load_config
from jean.errors import UsageError
from jean.jobs.kind import Handle, Kind
from jean.jobs.run import run_jobs
from jean.progress import Progress
from jean.train.nerf.config import NerfConfig
from jean.train.nerf.many_config import TrainJobsConfig
from jean.train.nerf.train import train_nerf


@dataclass(frozen=True)
class TrainJobs(Kind):
    """Jobs of ``jean train``: the columns ``clips`` (a clip, or a folder of clips) and keys of ``NerfConfig``."""

    config: NerfConfig

    title = "train jobs"
    columns = ("clips",)
    files = ("clips", "audio_run", "expression_run")

    def start(self) -> Handle:
        """Nothing is shared between people."""

        def handle(config: NerfConfig, columns: Mapping[str, str], output: Path, progress: Progress) -> dict[str, Any]:
            if "clips" not in columns:
                raise UsageError("the job has no clips.", "Add the column clips.")
            return train_nerf([Path(columns["clips"])], output, config, progress)

        return handle


def train_jobs(config: TrainJobsConfig, output: Path, progress: Progress) -> dict[str, Any]:
    """Trains a head for every job of a table; an interrupted training is resumed, by another worker if need be.

    Args:
        config: the table, and where to work.
        output: folder or address of the runs.
        progress: receives progress, messages and warnings.

    Returns:
        See ``run_jobs``.

    Raises:
        UsageError: no table.
        JeanError: see ``run_jobs``.
    """
    if config.jobs is None:
        raise UsageError("no jobs were given.", "Add --jobs FILE.csv.")
    seeds = {name: getattr(config, name) for name in ("seed", "device") if name in config.model_fields_set}
    base = load_config(NerfConfig, config.settings, None, None, **seeds)
    return run_jobs(TrainJobs(base), config, output, progress)
