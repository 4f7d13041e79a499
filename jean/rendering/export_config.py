"""Configuration of ``jean export``."""

from __future__ import annotations

from pydantic import Field

from jean.config import StageConfig


class ExportConfig(StageConfig):
    """Options of ``export``."""

    frame: int | None = Field(
        None,
        ge=0,
        le=1_000_000_000,
        description="Frame of the training clip whose face is written, from 0. By default the head at rest.",
    )
