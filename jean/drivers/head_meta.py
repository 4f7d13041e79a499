"""What ``train-nerf`` stores about a head, ``meta`` of its checkpoints: typed and bounded."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from jean.checkpoint import Checkpoint
from jean.clips.meta import AudioSpec, EmotionSpec, ExpressionSpec, ExtractorSpec
from jean.documents import validated
from jean.models.run_meta import ExpressionArguments, HeadArguments, Meta

LONGEST_WINDOW_S = 10.0  # over which expression vectors are averaged


class NamedEmotion(EmotionSpec):
    """An extractor of emotion features with its name."""

    name: str = Field(min_length=1)


class ExpressionSource(Meta):
    """The expression input; which of the other keys are there depends on its kind."""

    kind: Literal["upper", "all", "emotion", "transformer", "none"]
    emotion: NamedEmotion | None = None
    model: ExpressionArguments | None = None
    variant: str | None = None
    window_s: float = Field(0.0, ge=0, le=LONGEST_WINDOW_S)

    @model_validator(mode="after")
    def _complete(self) -> ExpressionSource:
        if self.kind in ("emotion", "transformer") and self.emotion is None:
            raise ValueError("there is no description of the emotion features")
        if self.kind == "transformer" and (self.model is None or self.variant is None):
            raise ValueError("there is no description of the expression transformer")
        return self


class HeadMeta(Meta):
    """``meta`` of ``train-nerf``, also of version 0.1."""

    model: HeadArguments
    fps: float = Field(gt=0, le=1000)
    size_px: int = Field(ge=1, le=1 << 15)
    tracker: ExtractorSpec
    expression: ExpressionSpec
    audio: dict[str, AudioSpec] = Field(min_length=1, max_length=1)
    method: str | None = None
    speech: Literal["sound", "none"] = "sound"
    expression_source: ExpressionSource = ExpressionSource(kind="upper")


def check_head(checkpoint: Checkpoint) -> dict[str, Any]:
    """``meta`` of a head's checkpoint.

    Raises:
        ArtefactError: names the first key that is missing or wrong.
    """
    meta: dict[str, Any] = checkpoint.payload["meta"]
    validated(HeadMeta, meta, checkpoint.path, "Train it again with this version.")
    return meta
