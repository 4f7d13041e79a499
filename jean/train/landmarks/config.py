"""Configuration of ``jean train-landmarks`` (section 8.1)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from jean.config import Width
from jean.train.engine.epoch_config import EpochConfig


class LandmarkConfig(EpochConfig):
    """Options of the landmark autoencoder. The defaults are the paper's."""

    presets: ClassVar = {"small": {"epochs": None, "steps": 3000, "form": "motion", "weight_decay": 1e-5}}

    preset: Literal["paper", "small"] = Field(
        "paper", description="The paper's values, or small, for a few people and minutes of video."
    )
    epochs: int | None = Field(15, ge=1, le=1_000_000)  # 8.1.3
    batch: int = Field(256, ge=1, le=1_000_000)  # 8.1.3
    form: Literal["head", "motion", "frame"] = Field(
        "head", description="Coordinates of the landmarks, which the paper does not state."
    )
    swap_probability: float = Field(  # 8.1.2
        0.8, ge=0, le=1, description="ε, the probability of exchanging the mouths of a pair."
    )
    width: int = Field(64, ge=1, le=65_536, description="Width of the embeddings e_f and e_m.")  # 8.1.2
    hidden: tuple[Width, ...] = Field((256, 256, 128), description="Widths of the hidden layers.")  # 8.1.2
    separate: bool = Field(
        False,
        description="Encode e_m from the mouth landmarks alone and e_f from the others alone (not the paper's).",
    )
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Learning rate of Adam.")  # Adam's default, 8.1.3
    # 8.1.3 has 1e-5 beside Eq. 1, a sum over 51 · 2 coordinates. Our loss is their mean. Adam ignores the scale of a
    # loss, but not that of the decay relative to it, so the same update needs 1e-5 / 102.
    weight_decay: float = Field(1e-5 / 102, ge=0, le=1, description="Weight decay of Adam, relative to a mean loss.")
    validation: tuple[str, ...] | None = Field(
        None, description="Names of the people held out for validation. By default a random draw."
    )
