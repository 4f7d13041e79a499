"""Configuration of ``jean train-landmarks`` (section 8.1)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from jean.train.engine.epoch_config import EpochConfig


class LandmarkConfig(EpochConfig):
    """Options of the landmark autoencoder. The defaults are the paper's.

    Attributes:
        preset: "paper", or "small" for a few people and minutes of video.
        form: coordinates of the landmarks, "head", "motion" or "frame" (``jean.drivers.face_points``). The paper
            does not state them.
        swap_probability: ε, probability of exchanging the mouths of a pair.
        width: width of e_f and of e_m.
        hidden: widths of the hidden layers.
        separate: encode e_m from the mouth landmarks alone and e_f from the other landmarks alone (not the paper's).
        learning_rate: of Adam.
        weight_decay: of Adam.
        validation: names of the people held out for validation; None: a random draw.
    """

    presets: ClassVar = {"small": {"epochs": None, "steps": 3000, "form": "motion"}}

    preset: Literal["paper", "small"] = "paper"
    epochs: int | None = Field(15, ge=1)  # 8.1.3
    batch: int = Field(256, ge=1)  # 8.1.3
    form: Literal["head", "motion", "frame"] = "head"
    swap_probability: float = Field(0.8, ge=0, le=1)  # 8.1.2
    width: int = Field(64, ge=1)  # 8.1.2
    hidden: tuple[int, ...] = (256, 256, 128)  # 8.1.2
    separate: bool = False
    learning_rate: float = Field(1e-3, gt=0)  # Adam's default parameters, 8.1.3
    weight_decay: float = Field(1e-5, ge=0)  # 8.1.3
    validation: tuple[str, ...] | None = None
