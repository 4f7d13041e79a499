"""What trainers store about their models, ``meta`` of a checkpoint: typed and bounded.

A checkpoint is loaded only if its ``meta`` has this form. Keys that no reader needs are not described.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, JsonValue

Size = Annotated[int, Field(ge=1, le=65_536)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Triple = Annotated[list[float], Field(min_length=3, max_length=3)]


class Arguments(BaseModel):
    """Arguments of a network: no unknown key, no conversion between types, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


class Meta(BaseModel):
    """Base of the descriptions: further keys are allowed, conversions between types are not."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, protected_namespaces=())


class LandmarkArguments(Arguments):
    """Arguments of ``LandmarkAutoencoder``."""

    points: Literal[51]
    width: Size
    hidden: list[Size] = Field(max_length=100)
    separate: bool = False


class AudioArguments(Arguments):
    """Arguments of ``AudioEncoder``."""

    features: Size
    window: Size
    out: Size
    dropout: Probability


class ExpressionArguments(Arguments):
    """Arguments of ``ExpressionTransformer``."""

    features: Size
    window: int = Field(ge=2, le=100_000)
    width: int = Field(ge=4, le=65_536)
    hidden: Size
    layers: int = Field(ge=1, le=1000)
    heads: int = Field(ge=1, le=1000)
    dropout: Probability
    feedforward: int = Field(ge=1, le=1_000_000)
    history: Literal["teacher", "none"] = "teacher"


class HeadArguments(Arguments):
    """Arguments of ``TalkingHead``, also as version 0.1 called them."""

    preset: str
    box: list[Triple] = Field(min_length=2, max_length=2)
    audio_features: Size
    audio_window: Size
    expression_features: Size
    audio_width: Size
    expression_width: Size
    dropout: Probability
    shape: list[Triple] = Field(min_length=68, max_length=68)
    latent_width: int = Field(0, ge=0, le=65_536, validation_alias=AliasChoices("latent_width", "code_width"))
    audio_drives_mouth: bool = Field(True, validation_alias=AliasChoices("audio_drives_mouth", "spoken"))
    audio_scale: float = 1.0
    audio_attention: int = Field(0, ge=0, le=64)
    expression_map: Literal["linear", "mlp", "none"] = "linear"
    size_px: int = Field(256, ge=1, le=1 << 15)
    eye_width: int = Field(0, ge=0, le=4)
    torso: bool = True


class Named(Meta):
    """Something with a name: a tracker, or emotion features."""

    name: str = Field(min_length=1)


class LandmarkMeta(Meta):
    """``meta`` of ``train-landmarks``."""

    model: LandmarkArguments
    form: Literal["head", "motion", "frame"]
    tracker: Named
    held_out: list[str]


class LandmarksOfAudio(Meta):
    """The landmark autoencoder that an audio encoder was trained against."""

    hash: str
    form: Literal["head", "motion", "frame"]
    tracker: Named


class AudioMeta(Meta):
    """``meta`` of ``train-audio``."""

    model: AudioArguments
    audio: dict[str, dict[str, JsonValue]] = Field(min_length=1, max_length=1)
    landmarks: LandmarksOfAudio
    held_out: list[str]


class ExpressionMeta(Meta):
    """``meta`` of ``train-expr``."""

    model: ExpressionArguments
    emotion: Named
    variant: str
    person: str
    held_out: list[str]


class OtherMeta(Meta):
    """``meta`` of a stage of another package."""

    model: dict[str, JsonValue]


STAGES: dict[str, type[Meta]] = {"landmarks": LandmarkMeta, "audio": AudioMeta, "expression": ExpressionMeta}


def head_arguments(arguments: Any) -> dict[str, Any]:
    """Arguments of ``TalkingHead`` by their names of today.

    Raises:
        pydantic.ValidationError: they are malformed.
    """
    return HeadArguments.model_validate(arguments).model_dump()
