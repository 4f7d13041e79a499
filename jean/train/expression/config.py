"""What ``jean train-expr`` can be asked for (section 8.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from jean.config import StageConfig
from jean.errors import UsageError
from jean.train.engine.settings import with_preset


class ExpressionConfig(StageConfig):
    """Everything that decides an expression transformer; the defaults are the paper's.

    Attributes:
        preset: "paper"; "small" for a processor and little data; "parted": "small" with
            e_l and e_e parted where Eq. 4 does not part them (``PRESETS``). It chooses the defaults of what is None.
        table: see ``LandmarkConfig``. person: whose transformer, where the data has several people.
        emotion_features: name of the features; "blendshapes" are the tracker's own coefficients: variant (d).
        emotions: which ones pairs are made of (section 8.3.1); None: all.
        dtw: "fast" (fastdtw) or "exact"; radius: of the fast one.
        swap_probability: δ. window: ω. width, hidden, layers, heads, dropout: section 8.3.2.
        feedforward: see ``ExpressionTransformer``; history: "none" takes the past from the decoder.
        scaling: features divided by nothing ("none"), by one number ("global") or each by its spread ("each").
        parted: after training, part e_l from e_e by what A and B share (``jean.train.expression.disentangle``; not the
            paper's).
        train_pairs: the rest validates (60 of 84 in the paper, or that share of fewer).
        held_out: sentences that validate instead of a draw of pairs.
        epochs, batch, learning_rate, weight_decay: Adam with default parameters, section 8.3.3; steps: instead
            of epochs.
    """

    preset: Literal["paper", "small", "parted"] = "paper"
    table: Path | None = None
    person: str | None = None
    emotion_features: str | None = None
    emotions: tuple[str, ...] | None = ("neutral", "angry", "happy", "sad")  # 8.3.1
    dtw: Literal["fast", "exact"] = "fast"
    radius: int = Field(1, ge=1)
    swap_probability: float = Field(0.8, ge=0, le=1)  # 8.3.2
    window: int = Field(8, ge=2)  # 8.3.2
    width: int = Field(64, ge=4)  # 8.3.2
    hidden: int = Field(512, ge=1)  # 8.3.2
    layers: int = Field(3, ge=1)  # 8.3.2
    heads: int = Field(8, ge=1)  # 8.3.2
    dropout: float = Field(0.2, ge=0, lt=1)  # 8.3.2
    feedforward: int | None = Field(None, ge=1)
    history: Literal["teacher", "none"] | None = None
    scaling: Literal["none", "global", "each"] | None = None
    parted: bool | None = None
    train_pairs: int = Field(60, ge=1)  # 8.3.1
    held_out: tuple[str, ...] | None = None
    epochs: int | None = Field(None, ge=1)
    steps: int | None = Field(None, ge=1)
    batch: int | None = Field(None, ge=2)
    learning_rate: float = Field(1e-3, gt=0)  # Adam's default parameters, 8.3.3
    weight_decay: float = Field(1e-5, ge=0)  # 8.3.3


_SMALL: dict[str, Any] = {"steps": 1500, "batch": 32, "feedforward": 256, "scaling": "global"}
PRESETS: dict[str, dict[str, Any]] = {
    # 8.3.3; what is not stated there: feedforward (torch's own), the decoder's history, no scaling
    "paper": {
        "epochs": 20,
        "batch": 256,
        "feedforward": 2048,
        "scaling": "none",
        "history": "teacher",
        "parted": False,
    },
    "small": {**_SMALL, "history": "teacher", "parted": False},
    "parted": {**_SMALL, "history": "teacher", "parted": True},
}


def resolved(config: ExpressionConfig) -> ExpressionConfig:
    """The configuration with its preset's values where it had None.

    Raises:
        UsageError: steps and epochs, or a width that the heads do not divide.
    """
    if 2 * config.width % config.heads:
        raise UsageError(f"{config.heads} heads do not divide {2 * config.width}.", "Choose other heads or width.")
    return with_preset(config, PRESETS[config.preset])
