"""Configuration of ``jean train-audio`` (section 8.2)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from jean.train.engine.epoch_config import EpochConfig


class AudioConfig(EpochConfig):
    """Options of the audio encoder. The defaults are the paper's.

    Attributes:
        preset: "paper", or "small" for a few people and minutes of video.
        audio_features: name of the audio feature extractor; None: the first one of the clips.
        temperature: τ of Eq. 2. A smaller value gives the hardest negatives more weight.
        negatives: negatives per mouth, where they are drawn one by one.
        negatives_from: where negatives come from. "other-clips": other clips of the same person (the paper).
            "person": any audio of the person, including the clip itself outside the minimum distance of
            ``jean.train.audio.negatives``. "batch": all such audio in the batch, at no additional cost.
        audio_noise: standard deviation of the noise that training adds to audio windows.
        dropout: probability of dropping a hidden unit of the encoder while training.
        learning_rate: of Adam at the first step; it decays exponentially.
        last_rate: learning rate at the last step.
        validation: names of the people held out for validation; None: the people held out by the landmark
            autoencoder ("the same splits", section 8.2.1).
    """

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

    preset: Literal["paper", "small"] = "paper"
    epochs: int | None = Field(30, ge=1)  # 8.2.3
    batch: int = Field(256, ge=1)  # 8.2.3
    audio_features: str | None = None
    temperature: float = Field(0.1, gt=0)  # 8.2.2
    negatives: int = Field(1, ge=1)  # 8.2.2
    negatives_from: Literal["other-clips", "person", "batch"] = "other-clips"  # 8.2.2
    audio_noise: float = Field(0.0, ge=0)  # the paper has no noise
    dropout: float = Field(0.0, ge=0, lt=1)  # the paper has no dropout
    learning_rate: float = Field(1e-3, gt=0)  # 8.2.3
    last_rate: float = Field(5e-6, gt=0)  # 8.2.3
    validation: tuple[str, ...] | None = None
