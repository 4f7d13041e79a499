"""What ``jean train-audio`` can be asked for (section 8.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from jean.config import StageConfig
from jean.train.engine.settings import with_preset


class AudioConfig(StageConfig):
    """Everything that decides an audio encoder; the defaults are the paper's.

    Attributes:
        preset: "paper", or "small" for a few people and minutes of video (``PRESETS``): it chooses the defaults
            of what is None.
        table: see ``LandmarkConfig``.
        audio_features: name of the extractor; None: the clips' first.
        temperature: τ (section 8.2.2: 0.1). Smaller ones look harder at the nearest of the other sounds.
        negatives: other sounds that a mouth is compared with (the paper: one).
        negatives_from: "other-clips" of the same person (the paper); "person": any of the person's sounds at
            least ``apart_s`` away, its own clip's too; "batch": all such sounds that the batch holds, which
            takes no more computing than none.
        apart_s: how far from a mouth's own sound, within one clip, another sound begins.
        audio_noise: spread of the noise on windows while training: a level of each band, of all, of each value.
        dropout: in the encoder while training.
        epochs, batch, learning_rate, last_rate: Adam, decaying exponentially (section 8.2.3).
        steps: instead of epochs, for small data.
        validation_share, validation: see ``LandmarkConfig``; None takes the people that the landmark
            autoencoder was validated on ("the same splits", section 8.2.1).
    """

    preset: Literal["paper", "small"] = "paper"
    table: Path | None = None
    audio_features: str | None = None
    temperature: float | None = Field(None, gt=0)
    negatives: int | None = Field(None, ge=1)
    negatives_from: Literal["other-clips", "person", "batch"] | None = None
    apart_s: float = Field(0.3, ge=0)
    audio_noise: float | None = Field(None, ge=0)
    dropout: float | None = Field(None, ge=0, lt=1)
    epochs: int | None = Field(None, ge=1)
    steps: int | None = Field(None, ge=1)
    batch: int = Field(256, ge=1)  # 8.2.3
    learning_rate: float = Field(1e-3, gt=0)  # 8.2.3
    last_rate: float = Field(5e-6, gt=0)  # 8.2.3
    validation_share: float = Field(9 / 48, gt=0, lt=1)  # 8.2.1
    validation: tuple[str, ...] | None = None


PRESETS: dict[str, dict[str, Any]] = {
    # 8.2.2 and 8.2.3; noise and dropout are not in the paper
    "paper": {
        "epochs": 30,
        "temperature": 0.1,
        "negatives": 1,
        "negatives_from": "other-clips",
        "audio_noise": 0.0,
        "dropout": 0.0,
    },
    "small": {
        "steps": 3000,
        "temperature": 0.03,
        "negatives": 1,
        "negatives_from": "batch",
        "audio_noise": 0.05,
        "dropout": 0.1,
    },
}


def resolved(config: AudioConfig) -> AudioConfig:
    """The configuration with its preset's values where it had None."""
    return with_preset(config, PRESETS[config.preset])
