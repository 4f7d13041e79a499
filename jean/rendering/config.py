"""What ``jean render`` can be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from jean.config import StageConfig


class RenderConfig(StageConfig):
    """What to render.

    Attributes:
        audio: the speech, any file with sound; the result lasts exactly as long.
        expression: a video or a clip; or NAME, NAME:STRENGTH, NAME..NAME of emotions and clips that the run was
            trained on (``jean.drivers.named_expression``); None takes the training clip's.
        expression_timeline: a CSV of time_s, expression, strength instead.
        silence_gate: closes the mouth where nobody speaks.
        pose_smoothing: spread in seconds of an average over the poses.
        pose: a clip or a JSON file of poses, "still", or None for the training clip's.
        pose_mode: "relative" puts the source's motion about its own mean pose onto the person's mean pose; "absolute"
            keeps the rotations of a clip (and puts its movement about the person's mean place), and takes a file's
            poses as they are.
        background: "white" (as in the paper), "source" (the training clip's frames, or its clean plate
            where the pose does not come from it), or an image.
        size: side of the frames, px; None is the training clip's.
        fps: None is the training clip's.
        repeat: what a shorter source does at its end, "mirror" (there and back) or "hold".
        strength: of the expression, 0 (the training clip's mean) to 1 and beyond.
        yaw, pitch: degrees that the camera moves around the head; orbit: amplitude of a slow swing.
        depth: also write 16-bit depth pictures, hundredths of a cm.
        frames: also write the frames as PNG into this folder.
        shard: "i/n": render only the i-th of n parts (from 1); whoever finishes last writes the video.
        crf: quality of the H.264 stream.
        backend: compiled kernels ("native"), readable torch ("reference"), or kernels where they can run.
        precision: of the processor's kernels: "fp32", or "bf16" (quicker, less exact).
        sampling: of the paper preset: "exact" as in the paper, or "skip": few samples, and none where the field is
            empty under every expression and sound of this video (kernels only).
    """

    audio: Path | None = None
    expression: Path | None = None
    expression_timeline: Path | None = None
    silence_gate: bool = False
    pose_smoothing: float = Field(0.0, ge=0, le=10)
    pose: str | None = None
    pose_mode: Literal["relative", "absolute"] = "relative"
    background: str = "white"
    size: int | None = Field(None, ge=32, le=4096)
    fps: float | None = Field(None, ge=1, le=240)
    repeat: Literal["mirror", "hold"] = "mirror"
    strength: float = Field(1.0, ge=0, le=3, allow_inf_nan=False)
    yaw: float = Field(0.0, ge=-60, le=60)
    pitch: float = Field(0.0, ge=-45, le=45)
    orbit: float = Field(0.0, ge=0, le=60)
    depth: bool = False
    frames: Path | None = None
    shard: str | None = None
    crf: int = Field(18, ge=0, le=51)
    backend: Literal["auto", "native", "reference"] = "auto"
    precision: Literal["fp32", "bf16"] = "fp32"
    sampling: Literal["exact", "skip"] = "exact"
