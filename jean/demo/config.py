"""Configuration of ``jean demo``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jean.config import LARGEST_SEED, StageConfig


class DemoConfig(StageConfig):
    """Options of the demo."""

    short: bool = Field(
        False, description="Make a smaller and quicker demo that checks every stage; its image quality is low."
    )
    person: int = Field(0, ge=0, le=LARGEST_SEED, description="Seed of the synthetic speaker's identity.")
    size: int | None = Field(
        None,
        ge=64,
        le=1024,
        multiple_of=2,
        description="Side of the frames in pixels. By default 256, or 128 with --short.",
    )
    train_steps: int | None = Field(
        None,
        ge=1,
        le=1_000_000_000,
        description="Optimisation steps of the head. By default 4000, or 400 with --short.",
    )
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="Seed of the training.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where to train, render and track: cpu, cuda, or auto, which is the GPU if there is one."
    )

    @property
    def size_px(self) -> int:
        """Side of the frames, px, with the default filled in."""
        return self.size or (128 if self.short else 256)

    @property
    def steps(self) -> int:
        """Optimisation steps of the head, with the default filled in."""
        return self.train_steps or (400 if self.short else 4000)
