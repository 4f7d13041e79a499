"""What ``jean prepare`` can be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from jean.config import StageConfig


class PrepareConfig(StageConfig):
    """Options of ``prepare``.

    Attributes:
        size: side of the square frames, px; "auto" is 512 with a GPU and 256 without.
        fps: frames a second of the clip; the paper's is 25.
        tracker: face tracker.
        face: which person, where there are several: largest, left, right, or a number from the left.
        matting: how head, torso and background are told apart; "auto" is selfie where its weights
            are there, grabcut where they are not.
        audio: extractors of audio features.
        crop: "face", a steady square around the head, or "centre", the middle square of the picture (section
            8.1.1: the middle 1080 of 1920, with size 480).
        concat: make one clip of all videos that fit together (section 8.4.1, ``jean.clips.concat``).
        seconds: how long that clip should be; like: a clip whose poses and focal length the others must have;
            focal_tolerance: how far focal lengths may lie apart (those of a few seconds are fitted badly).
        emotion: extractors of emotion features, for ``train-expr``; none is asked for by default.
        device: where trackers that can use a GPU run.
        refine: measure the poses on the pictures after the landmarks (trackers with a dense mesh only).
        seed: of the draw of points that the camera fit leaves out to measure its error.
        preview: write a contact sheet and an overlay video too.
        tracks_only: keep landmarks, poses, expression, sound and features, no pictures: what every stage before the
            head reads, and sources of a render, in a hundredth of the room.
    """

    size: int | Literal["auto"] = Field("auto", ge=64, le=4096)
    fps: float = Field(25.0, gt=0, le=240)
    tracker: str = "mediapipe"
    face: str | None = None
    matting: str = "auto"
    audio: tuple[str, ...] = ("logmel",)
    crop: Literal["face", "centre"] = "face"
    concat: bool = False
    seconds: float = Field(15.0, gt=0)
    like: Path | None = None
    focal_tolerance: float = Field(0.25, gt=0)
    emotion: tuple[str, ...] = ()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    refine: bool = True
    seed: int = Field(0, ge=0)
    preview: bool = False
    tracks_only: bool = False
