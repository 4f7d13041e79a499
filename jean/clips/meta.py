"""``clip.json``: every key of a clip's metadata, typed and bounded.

The classes are pydantic models. ``ClipMeta.read`` refuses a document that is valid JSON but not a valid clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from jean.documents import validated
from jean.errors import ArtefactError
from jean.files import read_json
from jean.geometry import Camera

FORMAT = 2  # that is written, the default of ClipMeta.format
FORMATS = (1, 2)  # that are read
META = "clip.json"
FRAMES, MATTE, BACKGROUND = "frames.u8", "matte.u8", "background.png"
ARRAYS_FILE, AUDIO_FILE, EMOTION_FILE = (
    "arrays.safetensors",
    "audio_features.safetensors",
    "emotion_features.safetensors",
)
SOUND = "audio.wav"
PICTURE_FILES = (FRAMES, MATTE, BACKGROUND)
CONTENT_FILES = (FRAMES, MATTE, BACKGROUND, ARRAYS_FILE, AUDIO_FILE, EMOTION_FILE, SOUND)

# Expression coefficients used as emotion features. No emotion network makes them: the paper's variant (d).
BLENDSHAPES = "blendshapes"

# Strict: JSON has true numbers and booleans, so "25" or 1 in place of true is a defect. Integers are valid floats.
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]
# First frame and one past the last frame.
Interval = Annotated[list[Count], Field(min_length=2, max_length=2)]


class Part(BaseModel):
    """Base of the parts of ``clip.json``: no unknown key, no conversion between types, no NaN or infinity."""

    model_config = _STRICT

    def to_json(self) -> dict[str, Any]:
        """JSON values; keys without a value are left out."""
        return self.model_dump(mode="json", exclude_none=True)


class Crop(Part):
    """The square, in whole pixels of the upright video, that is cut from every frame; it may exceed the video."""

    left_px: int = Field(description="Left edge, px of the video.")
    top_px: int = Field(description="Upper edge, px of the video.")
    side_px: int = Field(gt=0, description="Side, px of the video.")

    def points(self, points: np.ndarray, size_px: int) -> np.ndarray:
        """Converts positions [..., 2] from video pixels to pixels of the crop resized to ``size_px``."""
        return (points - np.array([self.left_px, self.top_px], points.dtype)) * (size_px / self.side_px)


class CameraMeta(Part):
    """Pinhole intrinsics of the frames."""

    focal_px: Positive = Field(description="Focal length, px of the frames.")
    center_px: Annotated[list[float], Field(min_length=2, max_length=2)] = Field(
        description="Principal point (x, y), px of the frames."
    )


class ExtractorSpec(Part):
    """An extractor: a face tracker or a matting method."""

    name: Name = Field(description="Name in the registry of extractors.")
    version: str = Field(description="Version of the extractor and of its weights.")


class ExpressionSpec(ExtractorSpec):
    """The expression coefficients."""

    names: list[str] = Field(description="Name of each coefficient [E].")
    upper: list[bool] = Field(description="Which coefficients [E] belong to brows, eyes, cheeks and nose.")

    @model_validator(mode="after")
    def _same_length(self) -> ExpressionSpec:
        if len(self.names) != len(self.upper):
            raise ValueError(f"{len(self.names)} names and {len(self.upper)} upper-face flags")
        return self


class AudioSpec(Part):
    """An extractor of audio features and the shape of its windows."""

    version: str = Field(description="Version of the extractor and of its weights.")
    width: int = Field(gt=0, description="D, values per feature vector.")
    window: int = Field(gt=0, description="Feature vectors per video frame.")
    rate_hz: Positive = Field(description="Feature vectors per second.")


class EmotionSpec(Part):
    """An extractor of emotion features."""

    version: str = Field(description="Version of the extractor and of its weights.")
    width: int = Field(gt=0, description="D, values per frame.")
    network: bool = Field(description="Whether an emotion network makes the features.")
    synthetic: bool | None = Field(None, description="Whether they are made from ground truth instead of frames.")


class SourceVideo(Part):
    """The video that a clip was prepared from."""

    name: Name = Field(description="File name, without its folder.")
    sha256: str = Field(description="Hex sha256 of the file.")
    width: int = Field(gt=0, description="Width of the upright video, px.")
    height: int = Field(gt=0, description="Height of the upright video, px.")
    fps: float = Field(ge=0, description="Frames per second; the mean for a variable rate.")
    duration_s: float = Field(ge=0, description="Duration of the pictures.")
    audio_duration_s: float = Field(ge=0, description="Duration of the sound; 0 without sound.")


class VideoLook(Part):
    """Measurements on sampled frames of the source video."""

    sampled: Count = Field(description="Sampled frames.")
    with_face: Count = Field(description="Sampled frames that show a face.")
    inter_ocular_px: float = Field(ge=0, description="Median distance of the outer eye corners, px of the video.")
    face_height_px: float | None = Field(None, ge=0, description="Median height from brows to chin, px of the video.")
    face_share: float | None = Field(None, ge=0, description="The same as a fraction of the video's height.")
    sharpness: float = Field(ge=0, description="Median variance of the Laplacian of the face, grey levels squared.")


class MatteFacts(Part):
    """Quality of the mattes, measured without a reference."""

    holes: float = Field(ge=0, le=1, description="Fraction of the person that is a hole, mean over the frames.")
    holes_worst: float = Field(ge=0, le=1, description="The same in the worst frame.")
    jumps: float = Field(ge=0, le=1, description="Fraction of frames whose matte changes without motion.")


class SyncFacts(Part):
    """How sound and lips go together, measured with the lip prior."""

    lag_s: float = Field(description="Delay of the sound behind the lips at the best agreement; 0 to 0.12 is natural.")
    r: float = Field(description="Agreement there: mean correlation of opening and width with the prior.")
    r_opening: float = Field(description="Correlation of the opening there.")
    r_width: float = Field(description="Correlation of the width there.")
    chance_r: float = Field(description="Mean of the best agreements in equally wide ranges of wrong lags.")
    rank: float = Field(ge=0, le=1, description="Fraction of those wrong ranges that agree better.")


class SyntheticSource(Part):
    """The item of a synthetic corpus that a clip was written from."""

    identity_seed: int = Field(description="Seed of the speaker's identity.")
    emotion: str = Field(description="Emotion of the performance.")
    level: int = Field(description="Intensity, 1 to 3.")
    sentence: int = Field(description="Number of the sentence.")
    text: str = Field(description="Text of the sentence.")
    hard: bool | None = Field(None, description="Whether the motion is the harder one; None for no.")
    cohesion: float | None = Field(None, description="How far the cues follow each other; None for not at all.")


class GeneratedMotion(Part):
    """What a clip of ``jean act`` was generated from."""

    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Hex sha256 of the motion model.")
    emotion: str = Field(description="The emotion that was asked for.")
    seed: int = Field(description="Seed of the noise.")


class FileFacts(Part):
    """Size and hash of a content file."""

    bytes: Count | None = Field(None, description="Size; None in clips that did not record it.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Hex sha256.")


class ClipMeta(Part):
    """The content of ``clip.json``.

    Format 1 stores a window of audio features for every frame; format 2 stores every row once.
    Keys with a default are absent from clips of writers that do not know them.
    """

    kind: Literal["clip"] = Field("clip", description="Marks the document as a clip's metadata.")
    format: Literal[1, 2] = Field(2, description="Version of the clip format.")
    frames: int = Field(gt=0, description="T, number of frames.")
    size_px: int = Field(gt=0, le=1 << 15, description="Side of the square frames, px.")
    fps: float = Field(gt=0, le=1000, description="Frames per second, constant.")
    camera: CameraMeta = Field(description="Intrinsics, the same for all frames.")
    tracker: ExtractorSpec = Field(description="Face tracker.")
    expression: ExpressionSpec = Field(description="Expression coefficients.")
    audio: dict[Name, AudioSpec] | None = Field(None, description="Extractors of audio features; None without sound.")
    emotion: dict[Name, EmotionSpec] | None = Field(None, description="Extractors of emotion features.")
    matting: ExtractorSpec | None = Field(None, description="Matting method; None without pictures.")
    pictures: bool = Field(True, description="Whether frames, mattes and background are stored.")
    crop: Crop | None = Field(None, description="Crop of the source video; None without one source video.")
    source: SourceVideo | None = Field(None, description="Source video.")
    prepare_version: int | None = Field(None, description="Version of the steps of `jean prepare`.")
    options: dict[str, JsonValue] | None = Field(None, description="Options of `jean prepare` that decide the clip.")
    valid: Count | None = Field(None, description="Frames with the chosen face.")
    no_face: list[Interval] | None = Field(None, description="Frame intervals without the face.")
    several_faces: list[Interval] | None = Field(None, description="Frame intervals with more than one face.")
    look: VideoLook | None = Field(None, description="Measurements on the source video.")
    mattes: MatteFacts | None = Field(None, description="Quality of the mattes; None without pictures.")
    sync: SyncFacts | None = Field(None, description="Sound against lips; None without sound or moving lips.")
    fit: dict[str, JsonValue] | None = Field(None, description="Report of the head fit, see docs/tracking.md.")
    synthetic: SyntheticSource | None = Field(None, description="Item of a synthetic corpus.")
    generated: GeneratedMotion | None = Field(None, description="Motion model that generated the tracks.")
    joined: list[str] | None = Field(None, description="Names of the clips that were joined.")
    left_out: dict[str, list[str]] | None = Field(None, description="Clips that were not joined, with the reasons.")
    files: dict[str, FileFacts] = Field(default_factory=dict, description="Size and sha256 of the content files.")

    @model_validator(mode="after")
    def _known_files(self) -> ClipMeta:
        if unknown := sorted(set(self.files) - set(CONTENT_FILES)):
            raise ValueError(f"unknown file {unknown[0]!r}")
        return self

    @classmethod
    def read(cls, path: Path) -> ClipMeta:
        """Reads ``clip.json``.

        Raises:
            ArtefactError: missing, not JSON, of another format, or with a wrong, missing or unknown key.
        """
        document = read_json(path)
        version = document.get("format") if isinstance(document, dict) else None
        if isinstance(document, dict) and document.get("kind") == "clip" and version not in FORMATS:
            raise ArtefactError(
                f"{path.parent} has clip format {version}, this version reads {FORMATS[0]} to {FORMATS[-1]}.",
                "Prepare it again.",
            )
        return validated(cls, document, path, "Prepare it again.")

    def pinhole(self) -> Camera:
        """The camera of the frames."""
        x, y = self.camera.center_px
        return Camera(self.camera.focal_px, (x, y), self.size_px, self.size_px)

    def emotion_specs(self) -> Mapping[str, EmotionSpec]:
        """Emotion features by extractor; ``blendshapes`` stands for the expression coefficients."""
        expression = self.expression
        blendshapes = EmotionSpec(
            version=f"{expression.name} {expression.version}", width=max(1, len(expression.names)), network=False
        )
        return {**(self.emotion or {}), BLENDSHAPES: blendshapes}
