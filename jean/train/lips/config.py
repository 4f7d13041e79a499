"""Configuration of ``jean train-lips``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from jean.config import StageConfig


class LipsConfig(StageConfig):
    """Options of the lip prior's training."""

    table: Path | None = Field(
        None,
        description="CSV file with the columns file, person, emotion, level and sentence. By default the tables in "
        "the DATA folders.",
    )
    steps: int = Field(80, ge=1, le=1_000_000, description="Optimisation steps on the real lips of the clips.")
    batch: int = Field(16, ge=1, le=10_000, description="Excerpts of 2.4 s per step.")
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Learning rate of Adam on real lips.")
    anchor: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Weight of the squared distance to the predictions of before the training on real lips.",
    )
    validation: tuple[str, ...] | None = Field(
        None,
        description="Names of the people held out for validation, or none for nobody. By default a fifth of them.",
    )
    synthetic_steps: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Optimisation steps on synthetic speech, from random weights, before the real lips. "
        "0 begins with the prior that comes with the package.",
    )
    synthetic_minutes: int = Field(
        120, ge=1, le=6000, description="Minutes of synthetic speech, made anew from the seed."
    )
    synthetic_rate: float = Field(2e-3, gt=0, le=1, description="Largest learning rate on synthetic speech.")
    voices: tuple[Literal["flite", "espeak", "own"], ...] = Field(
        ("flite", "espeak", "own"),
        min_length=1,
        description="Synthesizers of the synthetic speech: flite, espeak (espeak-ng) and own, equally often.",
    )
    dropout: float = Field(0.15, ge=0, lt=1, description="Probability of dropping a hidden unit while training.")
