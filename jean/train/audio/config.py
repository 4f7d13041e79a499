"""Configuration of ``jean train-audio`` (section 8.2)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from jean.train.engine.epoch_config import EpochConfig


class AudioConfig(EpochConfig):
    """Options of the audio encoder. The defaults are the paper's."""

    presets: ClassVar = {
        "small": {
            "epochs": None,
            "steps": 3000,
            "temperature": 0.03,
            "negatives_from": "batch",
            "audio_noise": 0.05,
            "dropout": 0.1,
        },
    }

    preset: Literal["paper", "small"] = Field(
        "paper", description="The paper's values, or small, for a few people and minutes of video."
    )
    epochs: int | None = Field(30, ge=1, le=1_000_000)  # 8.2.3
    batch: int = Field(256, ge=1, le=1_000_000)  # 8.2.3
    audio_features: str | None = Field(
        None, description="Name of the audio features. By default the first ones of the clips."
    )
    temperature: float = Field(  # 8.2.2
        0.1,
        ge=1e-4,
        le=100,
        description="τ of Eq. 2. A smaller value gives the hardest negatives more weight.",
    )
    negatives: int = Field(  # 8.2.2
        1, ge=1, le=100_000, description="Negatives per mouth, where they are drawn one by one."
    )
    negatives_from: Literal["other-clips", "person", "batch"] = Field(  # 8.2.2
        "other-clips",
        description="Where negatives come from: other-clips of the same person (the paper); person, any audio of the "
        "person at a minimum distance, also of the same clip; or batch, all such audio in the batch, at no "
        "additional cost.",
    )
    audio_noise: float = Field(  # the paper has no noise
        0.0, ge=0, le=100, description="Standard deviation of the noise that training adds to audio windows."
    )
    dropout: float = Field(  # the paper has no dropout
        0.0, ge=0, lt=1, description="Probability of dropping a hidden unit of the encoder while training."
    )
    learning_rate: float = Field(  # 8.2.3
        1e-3, gt=0, le=1, description="Learning rate of Adam at the first step; it decays exponentially."
    )
    last_rate: float = Field(5e-6, gt=0, le=1, description="Learning rate at the last step.")  # 8.2.3
    validation: tuple[str, ...] | None = Field(
        None,
        description="Names of the people held out for validation. By default those held out by the landmark "
        "autoencoder (section 8.2.1).",
    )
