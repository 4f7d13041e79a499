"""Configuration of ``jean train-lips``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from jean.config import StageConfig
from jean.errors import UsageError


class LipsConfig(StageConfig):
    """Options of the lip prior's training."""

    table: Path | None = Field(
        None,
        description="CSV file with the columns file, person, emotion, level and sentence. By default the tables in "
        "the DATA folders.",
    )
    features: str | None = Field(
        None,
        min_length=1,
        description="Audio features that the prior reads instead of the spectrum, such as hubert. They need steps on "
        "synthetic speech, a teacher, or a start with the same features.",
    )
    feature_copies: int = Field(
        1,
        ge=0,
        le=100,
        description="Versions of each recording with another level, filter and noise that features are extracted of, "
        "beside the recording itself.",
    )
    start: Path | None = Field(
        None, description="Run of train-lips whose prior to begin with, instead of that of the package."
    )
    teacher: Path | None = Field(
        None,
        description="Run of train-lips whose prior tells the lips of speech without measured ones: the sound of the "
        "clips, which then need no lips, the files of speech, and synthetic speech.",
    )
    teacher_steps: int = Field(1000, ge=1, le=1_000_000, description="Optimisation steps on what the teacher tells.")
    speech: tuple[Path, ...] = Field((), description="Sound or video files, or folders of them, for the teacher.")
    steps: int = Field(
        80, ge=0, le=1_000_000, description="Optimisation steps on the real lips of the clips, the last ones."
    )
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
        description="Optimisation steps on synthetic speech, the first ones, from random weights unless start is "
        "given. 0 begins with the prior that comes with the package.",
    )
    synthetic_minutes: int = Field(
        120,
        ge=1,
        le=6000,
        description="Minutes of synthetic speech, made anew from the seed, for its steps and the teacher.",
    )
    synthetic_rate: float = Field(
        2e-3, gt=0, le=1, description="Largest learning rate on synthetic speech and with a teacher."
    )
    voices: tuple[Literal["flite", "espeak", "own"], ...] = Field(
        ("flite", "espeak", "own"),
        min_length=1,
        description="Synthesizers of the synthetic speech: flite, espeak (espeak-ng) and own, equally often.",
    )
    dropout: float = Field(0.15, ge=0, lt=1, description="Probability of dropping a hidden unit while training.")

    @model_validator(mode="after")
    def _require_something_to_learn(self) -> LipsConfig:
        if not (self.steps or self.synthetic_steps or self.teacher):
            raise UsageError(
                "steps is 0, and there is nothing else to learn from.", "Add --teacher or --synthetic-steps."
            )
        if self.speech and self.teacher is None:
            raise UsageError("speech without lips needs a teacher.", "Add --teacher RUN.")
        if self.features and not (self.start or self.synthetic_steps or self.teacher):
            raise UsageError(
                "a prior of other features begins with random weights, which real lips alone do not teach.",
                "Add --synthetic-steps 1500, a teacher or a start.",
            )
        return self
