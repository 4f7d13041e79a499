"""Configuration of ``jean prepare``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from jean.config import LARGEST_SEED
from jean.jobs.config import JobsConfig


class PrepareConfig(JobsConfig):
    """Options of ``prepare``."""

    size: int | Literal["auto"] = Field(
        "auto",
        ge=64,
        le=4096,
        description="Side of the square frames in pixels; auto is 512 with a GPU and 256 without.",
    )
    fps: float = Field(
        25.0, gt=0, le=240, description="Frames per second of the clip; also the rate of numbered images."
    )
    rotate: int = Field(
        0,
        ge=0,
        le=270,
        multiple_of=90,
        description="Turn the video clockwise by 90, 180 or 270 degrees first, where its metadata do not say so.",
    )
    min_valid: float = Field(
        0.6,
        gt=0,
        le=1,
        description="Smallest fraction of frames that must show the face; otherwise the video is refused.",
    )
    tracker: str = Field("mediapipe", description="Face tracker: mediapipe, face-alignment or truth.")
    face: str | None = Field(
        None,
        description="Which person, where a video shows several: largest, left, right, or a number from the left, "
        "0 first. By default such a video is refused.",
    )
    matting: str = Field(
        "auto",
        description="How head, torso and background are separated: person, selfie, grabcut, or auto, which is person "
        "or selfie if their weights are installed, and grabcut otherwise.",
    )
    audio: tuple[str, ...] = Field(("logmel",), description="Audio features to extract.")
    crop: Literal["face", "centre"] = Field(
        "face",
        description="What the square frames show: a steady square around the head, or the middle square of the video "
        "(as in section 8.1.1).",
    )
    sound_offset: float = Field(
        0.0,
        ge=-10,
        le=10,
        description="Seconds by which the sound of the video is late, or early if negative; it is moved to fit.",
    )
    concat: bool = Field(False, description="Join all videos that fit together into one clip (section 8.4.1).")
    seconds: float = Field(15.0, gt=0, le=3600, description="With --concat, length of the joined clip (section 8.4.1).")
    focal_tolerance: float = Field(
        0.25,
        gt=0,
        le=10,
        description="With --concat, largest relative difference of focal lengths; short videos are fitted up to 20 % "
        "off.",
    )
    like: Path | None = Field(
        None, description="With --concat, a clip whose head poses and focal length the videos must match."
    )
    emotion: tuple[str, ...] = Field(
        (), description="Emotion features to extract, for train-expr: emoca, onnx-FILE@OUTPUT. By default none."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where trackers and matting run: cpu, cuda, or auto, which is the GPU where there is one."
    )
    refine: bool = Field(
        True,
        description="Refine the head poses on the frames after the landmarks (only trackers with a dense mesh).",
    )
    seed: int = Field(
        0,
        ge=0,
        le=LARGEST_SEED,
        description="Seed of the random points that the camera fit leaves out to measure its error.",
    )
    match: str | None = Field(
        None,
        description="Take all videos below the given folders whose path there matches this pattern (* also stands for "
        "/), and keep the structure of the folders.",
    )
    skip_unusable: bool = Field(
        False, description="Skip and count videos that cannot be used, instead of failing after the others."
    )
    need_sound: bool = Field(False, description="Refuse videos without sound; the audio stages need it.")
    preview: bool = Field(False, description="Also write a contact sheet and a video with the landmarks drawn in.")
    tracks_only: bool = Field(
        False,
        description="Write no frames, only landmarks, poses, expression, sound and features: about 1 % of the disk "
        "space, and enough for every training before train-nerf and for driving a render.",
    )
