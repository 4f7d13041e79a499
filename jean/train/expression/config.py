"""Configuration of ``jean train-expr`` (section 8.3)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from jean.errors import UsageError
from jean.train.engine.epoch_config import EpochConfig

_SMALL: dict[str, Any] = {"epochs": None, "steps": 1500, "batch": 32, "feedforward": 256, "scaling": "global"}


class ExpressionConfig(EpochConfig):
    """Options of the expression transformer. The defaults are the paper's.

    Attributes:
        preset: "paper"; "small" for a CPU and little data; "disentangled": "small" with ``disentangle``.
        person: whose transformer to train; None: the only person of the data.
        emotion_features: name of the emotion features; "blendshapes" are the tracker's own expression coefficients
            (variant (d)); None: the first ones of the clips.
        emotions: emotions that form pairs; None: all.
        dtw: dynamic time warping, "fast" (fastdtw) or "exact".
        radius: search radius of the fast time warping.
        swap_probability: δ, probability of exchanging the expressions of a pair.
        window: ω, frames per window.
        width: width of e_l and of e_e.
        hidden: hidden width of the maps between features and tokens.
        layers: layers of the encoder and of the decoder.
        heads: attention heads.
        dropout: probability of dropping a hidden unit while training.
        feedforward: width of the feed-forward part of a layer (not stated in the paper; 2048 is torch's default).
        history: "teacher": the decoder attends to earlier target frames while training; "none": to no earlier
            frame (not the paper's).
        scaling: features are divided by nothing ("none"), by one number ("global") or each by its own standard
            deviation ("each"). The paper does not state a scaling.
        disentangle: after training, separate e_l and e_e by canonical correlation
            (``jean.train.expression.disentangle``; not the paper's).
        train_pairs: training pairs of 84; the others validate. With fewer pairs, the same fraction of them.
        held_out: sentences that validate; None: a random draw of pairs.
        learning_rate: of Adam.
        weight_decay: of Adam.
    """

    presets: ClassVar = {"small": _SMALL, "disentangled": {**_SMALL, "disentangle": True}}

    preset: Literal["paper", "small", "disentangled"] = "paper"
    epochs: int | None = Field(20, ge=1)  # 8.3.3
    batch: int = Field(256, ge=2)  # 8.3.3
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
    feedforward: int = Field(2048, ge=1)
    history: Literal["teacher", "none"] = "teacher"
    scaling: Literal["none", "global", "each"] = "none"
    disentangle: bool = False
    train_pairs: int = Field(60, ge=1)  # 8.3.1
    held_out: tuple[str, ...] | None = None
    learning_rate: float = Field(1e-3, gt=0)  # Adam's default parameters, 8.3.3
    weight_decay: float = Field(1e-5, ge=0)  # 8.3.3

    @model_validator(mode="after")
    def _require_heads_that_divide_the_width(self) -> ExpressionConfig:
        if 2 * self.width % self.heads:
            raise UsageError(f"{self.heads} heads do not divide {2 * self.width}.", "Choose other heads or width.")
        return self
