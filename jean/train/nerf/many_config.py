"""Configuration of ``jean train``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from jean.jobs.config import JobsConfig


class TrainJobsConfig(JobsConfig):
    """Options of ``train``."""

    settings: Path | None = Field(
        None, description="A YAML file of keys of train-nerf for all jobs, which the columns of the table change."
    )
