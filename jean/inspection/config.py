"""Configuration of ``jean inspect``."""

from __future__ import annotations

from pydantic import Field

from jean.config import StageConfig


class InspectConfig(StageConfig):
    """Options of ``inspect``."""

    points: int = Field(
        1500, ge=10, le=100_000, description="Frames in the t-SNE of expression embeddings (Figure 8), evenly spaced."
    )
    strip: tuple[str, ...] | None = Field(
        None,
        description="Expressions of the strips of a head (Figures 5 and 7), each from one to another such as "
        "sad..happy. By default from every emotion that the run knows to the next.",
    )
    steps: int = Field(6, ge=2, le=40, description="Images in a strip.")
    size: int = Field(160, ge=32, le=1024, description="Side of the images of a strip in pixels.")
