"""What ``jean train-landmarks`` can be asked for (section 8.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from jean.config import StageConfig
from jean.train.engine.settings import with_preset


class LandmarkConfig(StageConfig):
    """Everything that decides a landmark autoencoder; the defaults are the paper's.

    Attributes:
        preset: "paper", or "small" for a few people and minutes of video (``PRESETS``): it chooses the defaults
            of what is None.
        table: a CSV that says who, how and what (``jean.clips.corpus``); None: each DATA folder's own.
        form: of the points, "head", "motion" or "frame" (``jean.drivers.face_points``; the paper does not say).
        swap_probability: ε. width, hidden: of e_f and e_m, and of the layers (section 8.1.2).
        separate: e_m from the mouth's points alone, e_f from the others alone (not the paper's).
        epochs, batch, learning_rate, weight_decay: Adam with default parameters, section 8.1.3.
        steps: instead of epochs, for small data.
        validation_share: of the people (9 of 48, section 8.1.1); validation: their names, instead of a draw.
    """

    preset: Literal["paper", "small"] = "paper"
    table: Path | None = None
    form: Literal["head", "motion", "frame"] | None = None
    swap_probability: float = Field(0.8, ge=0, le=1)  # 8.1.2
    width: int = Field(64, ge=1)  # 8.1.2
    hidden: tuple[int, ...] = (256, 256, 128)  # 8.1.2
    separate: bool = False
    epochs: int | None = Field(None, ge=1)
    steps: int | None = Field(None, ge=1)
    batch: int = Field(256, ge=1)  # 8.1.3
    learning_rate: float = Field(1e-3, gt=0)  # Adam's default parameters, 8.1.3
    weight_decay: float = Field(1e-5, ge=0)  # 8.1.3
    validation_share: float = Field(9 / 48, gt=0, lt=1)  # 8.1.1
    validation: tuple[str, ...] | None = None


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"epochs": 15, "form": "head"},  # 8.1.3; the form is not stated
    "small": {"steps": 3000, "form": "motion"},
}


def resolved(config: LandmarkConfig) -> LandmarkConfig:
    """The configuration with its preset's values where it had None."""
    return with_preset(config, PRESETS[config.preset])
