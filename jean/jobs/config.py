"""Options of commands that handle many jobs."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from jean.config import StageConfig


class JobsConfig(StageConfig):
    """Options of commands that handle many jobs."""

    jobs: Path | None = Field(
        None,
        description="A CSV file with one line per result: the column output, and keys of this command's configuration. "
        "Files may be addresses such as s3://bucket/name.",
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Number of workers. By default one, for prepare one per core, on a cluster all it has room for.",
    )
    cluster: str | None = Field(
        None,
        description="Work on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT. Its machines need the same files under "
        "the same paths.",
    )
    cpus: float = Field(1.0, gt=0, le=1024, description="Cores of each worker on the cluster.")
    gpus: float = Field(0.0, ge=0, le=64, description="GPUs of each worker on the cluster; fractions share one.")


PLACE = frozenset(JobsConfig.model_fields) - frozenset(StageConfig.model_fields)  # keys that no result depends on
