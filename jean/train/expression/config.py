"""Configuration of ``jean train-expr`` (section 8.3)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from jean.errors import UsageError
from jean.train.engine.epoch_config import EpochConfig

_SMALL: dict[str, Any] = {
    "epochs": None,
    "steps": 1500,
    "batch": 32,
    "feedforward": 256,
    "scaling": "global",
    "weight_decay": 1e-5,
}


class ExpressionConfig(EpochConfig):
    """Options of the expression transformer. The defaults are the paper's."""

    presets: ClassVar = {"small": _SMALL, "disentangled": {**_SMALL, "disentangle": True}}

    preset: Literal["paper", "small", "disentangled"] = Field(
        "paper",
        description="The paper's values; small, for a CPU and little data; or disentangled, which is small with the "
        "key disentangle.",
    )
    epochs: int | None = Field(20, ge=1, le=1_000_000)  # 8.3.3
    batch: int = Field(256, ge=2, le=1_000_000)  # 8.3.3
    person: str | None = Field(
        None, description="Person whose transformer to train. By default the only person of the data."
    )
    emotion_features: str | None = Field(
        None,
        description="Name of the emotion features; blendshapes are the tracker's expression coefficients (variant d). "
        "By default the first ones of the clips.",
    )
    emotions: tuple[str, ...] | None = Field(  # 8.3.1
        ("neutral", "angry", "happy", "sad"), description="Emotions that form pairs; null: all."
    )
    check_sound: bool = Field(
        True,
        description="Leave out pairs of clips whose sound agrees no better than that of different sentences, as where "
        "the numbers of a corpus are shifted.",
    )
    dtw: Literal["fast", "exact"] = Field("fast", description="Dynamic time warping: fast (fastdtw) or exact.")
    align_on: Literal["emotion", "audio"] = Field(
        "emotion",
        description="What aligns the two clips of a pair: the emotion features, as in Eq. 3; or the sound, which says "
        "when a syllable is said also where the features hardly show it.",
    )
    radius: int = Field(1, ge=1, le=100_000, description="Search radius of the fast time warping, in frames.")
    swap_probability: float = Field(  # 8.3.2
        0.8, ge=0, le=1, description="δ, the probability of exchanging the expressions of a pair."
    )
    window: int = Field(8, ge=2, le=100_000, description="ω, frames per window.")  # 8.3.2
    width: int = Field(64, ge=4, le=65_536, description="Width of the embeddings e_l and e_e.")  # 8.3.2
    hidden: int = Field(  # 8.3.2
        512, ge=1, le=65_536, description="Hidden width of the maps between features and tokens."
    )
    layers: int = Field(3, ge=1, le=1000, description="Layers of the encoder and of the decoder.")  # 8.3.2
    heads: int = Field(8, ge=1, le=1000, description="Attention heads; they must divide twice the width.")  # 8.3.2
    dropout: float = Field(  # 8.3.2
        0.2, ge=0, lt=1, description="Probability of dropping a hidden unit while training."
    )
    feedforward: int = Field(  # not stated in the paper; 2048 is torch's default
        2048, ge=1, le=1_000_000, description="Width of the feed-forward part of a layer."
    )
    history: Literal["teacher", "none"] = Field(
        "teacher",
        description="What the decoder attends to while training: teacher, the earlier target frames; or none "
        "(not the paper's).",
    )
    scaling: Literal["none", "global", "each"] = Field(  # not stated in the paper
        "none",
        description="What features are divided by: nothing (none), one number (global), or their own standard "
        "deviations (each).",
    )
    disentangle: bool = Field(
        False,
        description="After training, separate e_l and e_e by canonical correlation (not the paper's).",
    )
    erase_speech: bool = Field(
        False,
        description="After training, take out of e_e what tells the quick motion of lips and sound, in closed form "
        "(LEACE; not the paper's). Needs no pairs to agree.",
    )
    train_pairs: int = Field(  # 8.3.1
        60,
        ge=1,
        le=1_000_000,
        description="Training pairs of 84; the others validate. With fewer pairs, the same fraction of them.",
    )
    held_out: tuple[str, ...] | None = Field(
        None, description="Sentences that validate. By default a random draw of pairs."
    )
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Learning rate of Adam.")  # Adam's default, 8.3.3
    # 8.3.3: 1e-5 beside the sum over 8 frames of 2048 features, of which the loss here is the mean
    weight_decay: float = Field(
        1e-5 / (8 * 2048), ge=0, le=1, description="Weight decay of Adam, relative to a mean loss."
    )

    @model_validator(mode="after")
    def _require_heads_that_divide_the_width(self) -> ExpressionConfig:
        if 2 * self.width % self.heads:
            raise UsageError(f"{self.heads} heads do not divide {2 * self.width}.", "Choose other heads or width.")
        return self
