"""Configuration of ``jean train-motion``."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from jean.errors import UsageError
from jean.train.engine.epoch_config import EpochConfig


class MotionConfig(EpochConfig):
    """Options of the motion model."""

    presets: ClassVar = {
        "base": {"epochs": None, "steps": 100_000, "batch": 256, "hidden": 384, "layers": 8, "learning_rate": 3e-4},
        "paper": {
            "network": "recurrent",
            "layers": 2,
            "cohesion_weight": 0.0,
            "sound_weight": 0.0,
            "moment_weight": 0.0,
        },
    }

    preset: Literal["small", "base", "paper"] = Field(
        "small",
        description="small, for a CPU and the synthetic corpus; base, for a GPU and a corpus such as MEAD; or paper, "
        "an auto-regressive network with gaze in classes and only the emotion critics, by public descriptions.",
    )
    network: Literal["flow", "recurrent"] = Field(
        "flow", description="Flow matching over windows; or recurrent, frame after frame, with the gaze in classes."
    )
    epochs: int | None = Field(
        None, ge=1, le=1_000_000, description="Passes over the training windows, instead of steps."
    )
    steps: int | None = Field(1500, ge=1, le=1_000_000_000, description="Optimisation steps.")
    batch: int = Field(24, ge=2, le=10_000, description="Windows of 2.4 s per step.")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Largest learning rate of Adam; it falls to zero.")
    hidden: int = Field(120, ge=8, le=4096, description="Width of the transformer's tokens; a multiple of 8.")
    layers: int = Field(4, ge=1, le=100, description="Transformer blocks, or recurrent layers.")
    eyes: bool = Field(
        True, description="Learn gaze. Switch it off for clips whose tracker finds no irises; the eyes then stay still."
    )
    validation: tuple[str, ...] | None = Field(
        None, description="Names of the people held out for validation. By default a draw of 9 of 48."
    )
    label_dropout: float = Field(0.1, ge=0, lt=1, description="Fraction of windows whose emotion is hidden.")
    step_weight: float = Field(
        1.0, ge=0, le=1000, description="Weight of the error of the change from frame to frame, which prevents jitter."
    )
    emotion_weight: float = Field(
        0.1, ge=0, le=1000, description="Weight of the emotion that critics read from each cue and from all of them."
    )
    cohesion_weight: float = Field(
        0.05, ge=0, le=1000, description="Weight of the agreement of cues of the same moment with each other."
    )
    sound_weight: float = Field(
        0.05, ge=0, le=1000, description="Weight of the agreement of cues and sound of the same moment."
    )
    moment_weight: float = Field(
        0.1, ge=0, le=1000, description="Weight of the difference in spread between generated and true motion."
    )
    critic_steps: int = Field(
        200, ge=0, le=1_000_000, description="Steps on true motion, before the others, in which the critics learn."
    )
    average: float = Field(0.995, ge=0, lt=1, description="Decay of the running mean of the weights that is stored.")

    @model_validator(mode="after")
    def _require_even_heads(self) -> MotionConfig:
        if self.hidden % 8:
            raise UsageError(f"the width hidden={self.hidden} is not a multiple of 8.", "Choose 96 or 120.")
        return self

    @property
    def uses_critics(self) -> bool:
        """Whether any loss needs critics."""
        return bool(self.critic_steps) and max(self.emotion_weight, self.cohesion_weight, self.sound_weight) > 0
