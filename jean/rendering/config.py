"""Configuration of ``jean render``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from jean.jobs.config import JobsConfig
from jean.names import known_name

NAMES = ("white", "source", "still", "at-camera", "off")  # of backgrounds, a pose, a gaze and blinks


class RenderConfig(JobsConfig):
    """Options of ``render``."""

    audio: Path | None = Field(
        None,
        description="The speech: any file with sound; required. The result is exactly as long.",
    )
    expression: Path | None = Field(
        None,
        description="The expression: a prepared clip, a video, or emotions and training clips by name, such as happy, "
        "happy:0.7 or sad..happy:0.7. By default the training clip's.",
    )
    expression_timeline: Path | None = Field(
        None, description="Expressions over time, instead of --expression: a CSV file of time_s, expression, strength."
    )
    motion: str | None = Field(
        None,
        description="What moves brows, eyes and head instead of the training clip: builtin, the motion model that "
        "comes with the package; a run of train-motion; or a clip of act. Other sources replace single cues.",
    )
    emotion: str | None = Field(
        None,
        description="The emotion of a motion model: a name such as happy, happy:0.7 or sad..happy, or auto, by the "
        "voice. Implies --motion builtin.",
    )
    emotion_timeline: Path | None = Field(
        None, description="Emotions over time, instead of --emotion: a CSV file of time_s, expression, strength."
    )
    lips: str | None = Field(
        None,
        description="What decides the lips: prior, the lip prior that comes with the package, which follows any voice; "
        "own, the head's own audio encoder; or a run of train-lips. By default prior, but own for preset paper and "
        "the paper's methods.",
    )
    articulation: float = Field(
        1.0, ge=0, le=2, description="How far the lips move, with a lip prior: 0 is rest, 1 is as the person speaks."
    )
    held_s: float | None = Field(
        None,
        ge=0,
        le=10,
        description="How slowly the mouth of --expression must move to count as a smile or a frown, not as speech: "
        "standard deviation of a Gaussian in seconds; 0 leaves the whole mouth to the speech. By default 0.48, but 0 "
        "for the paper's methods.",
    )
    silence_gate: bool = Field(
        False,
        description="Close the mouth where nobody speaks: Silero's detector decides where its weights are installed, "
        "otherwise the loudness.",
    )
    pose_smoothing: float = Field(
        0.0, ge=0, le=10, description="Smooth the head pose with a Gaussian of this standard deviation in seconds."
    )
    pose: str | None = Field(
        None,
        description="The head pose: a prepared clip, a video, a JSON file of poses, or still. By default the training "
        "clip's.",
    )
    pose_mode: Literal["relative", "absolute"] = Field(
        "relative",
        description="How a pose source is used: relative puts its motion about its mean pose onto the person's mean "
        "pose; absolute keeps the rotations of a clip, or the poses of a file, as they are.",
    )
    gaze: str | None = Field(
        None,
        description="Where the eyes look, within the head: X,Y in degrees to the right and down in the image, 0,0 "
        "straight out of the face; a prepared clip; or at-camera. By default as in the expression source.",
    )
    blink: str | None = Field(
        None,
        description="The lids: a prepared clip, or off to keep them open. By default as in the expression source.",
    )
    background: str = Field(
        "white",
        description="Background: white, as in the paper; source, the training clip without its person, or its clean "
        "plate with another head pose; an image; or a video.",
    )
    size: int | None = Field(
        None, ge=32, le=4096, description="Side of the frames in pixels. By default the training clip's."
    )
    fps: float | None = Field(None, ge=1, le=240, description="Frames per second. By default the training clip's.")
    repeat: Literal["mirror", "hold", "loop"] = Field(
        "mirror",
        description="How a source or a background video that is too short continues: mirror plays it back and forth; "
        "hold repeats its last frame; loop starts it again.",
    )
    strength: float = Field(
        1.0,
        ge=0,
        le=3,
        description="Strength of the expression: 0 is the training clip's mean, 1 the expression itself.",
    )
    yaw: float = Field(0.0, ge=-60, le=60, description="Turn the camera sideways around the head, in degrees.")
    pitch: float = Field(0.0, ge=-45, le=45, description="Raise the camera around the head, in degrees.")
    orbit: float = Field(
        0.0, ge=0, le=60, description="Swing the camera slowly around the head by this many degrees to either side."
    )
    depth: bool = Field(False, description="Also write 16-bit depth images in hundredths of a cm.")
    layers: bool = Field(
        False, description="Also write the opacity of head (red) and torso (green) as PNG files, for evaluate."
    )
    frames: Path | None = Field(None, description="Also write the frames as PNG files into this folder.")
    shard: str | None = Field(
        None,
        description="Render only part I of N, from 1, on one of several machines; the one that finishes last writes "
        "the video.",
    )
    crf: int = Field(18, ge=0, le=51, description="Quality of the H.264 video: 0 is lossless, 51 the worst.")
    label: str | None = Field(
        None, max_length=200, description="Draw this text into the lower left corner of every frame."
    )
    watermark: bool = Field(
        False, description="Put an invisible mark that says synthetic into a frame of every half second."
    )
    certificate: Path | None = Field(
        None, description="Sign the video with content credentials (C2PA): a PEM file of the certificate chain."
    )
    private_key: Path | None = Field(None, description="The private key of --certificate, a PEM file.")
    backend: Literal["auto", "native", "reference"] = Field(
        "auto",
        description="Renderer: native, the compiled kernels; reference, readable torch; or auto, the kernels where "
        "they can run.",
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="Precision of the CPU kernels; bf16 is faster and less exact."
    )
    sampling: Literal["exact", "skip"] = Field(
        "exact",
        description="Sampling of the paper preset: exact as in the paper, or skip, with few samples and none in space "
        "that is empty throughout this video (kernels only).",
    )

    @field_validator("background", "pose", "gaze", "blink")
    @classmethod
    def _in_any_case(cls, value: str | None) -> str | None:
        """``White``, ``Source``, ``Still``, ``At-camera`` and ``Off`` are names, unless a file is called so."""
        if value is None or Path(value).exists():
            return value
        return known_name(value, NAMES) or value
