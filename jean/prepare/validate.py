"""A look at a video before long work starts: is it usable, and what will it lack?

What makes a clip impossible is an ``InputError``; what makes it poor is a warning in one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jean import landmarks as ibug
from jean.errors import InputError
from jean.features.base import Face
from jean.prepare.tracking.choose_face import NOTABLE_SIZE

if TYPE_CHECKING:
    from jean.media import MediaInfo

SAMPLES = 12
SMALLEST_FACE_PX = 12.0  # between the outer eye corners: under this no tracker's points mean anything
SMALL_FACE_PX = 45.0  # a face of about 100 px: less detail than a 256 px crop shows
BLURRED = 25.0  # variance of the Laplacian of the face at 128 px, grey levels squared; sharp faces have 45 to 600
FACE_PX = 128
SHORT_S = 30.0
SLOW_FPS = 15.0
SOUND_GAP_S = 0.5


@dataclass(frozen=True)
class Look:
    """What some frames of a video show.

    Attributes:
        sampled: frames looked at.
        with_face: of these, with a face.
        with_several: of these, with several faces of like size.
        inter_ocular_px: median distance of the outer eye corners, px of the video; 0 without a face.
        sharpness: median variance of the Laplacian of the face at 128 px; 0 without a face.
        several_times_s: times of the frames with several faces.
    """

    sampled: int
    with_face: int
    with_several: int
    inter_ocular_px: float
    sharpness: float
    several_times_s: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """The figures for reports."""
        return {
            "sampled": self.sampled,
            "with_face": self.with_face,
            "inter_ocular_px": round(self.inter_ocular_px, 2),
            "sharpness": round(self.sharpness, 1),
        }


def look(frames: Sequence[tuple[float, np.ndarray]], faces: Sequence[Sequence[Face]]) -> Look:
    """Summarises sampled frames.

    Args:
        frames: (time in seconds, RGB uint8 [H, W, 3]).
        faces: of each frame.
    """
    eyes, sharp, several = [], [], []
    for (time_s, image), found in zip(frames, faces, strict=True):
        if not found:
            continue
        sizes = [_size(face) for face in found]
        main = found[int(np.argmax(sizes))]
        eyes.append(float(ibug.inter_ocular(main.landmarks)))
        sharp.append(sharpness(image, main.landmarks))
        if sum(size >= NOTABLE_SIZE * max(sizes) for size in sizes) > 1:
            several.append(time_s)
    median = (lambda values: float(np.median(values))) if eyes else (lambda values: 0.0)
    return Look(len(frames), len(eyes), len(several), median(eyes), median(sharp), tuple(several))


def sharpness(image: np.ndarray, landmarks: np.ndarray) -> float:
    """Variance of the Laplacian of the face, reduced or enlarged to 128 px, in grey levels squared."""
    import cv2

    left, top = np.maximum(np.floor(landmarks.min(axis=0)), 0).astype(int)
    right, bottom = np.ceil(landmarks.max(axis=0)).astype(int)
    face = image[top:bottom, left:right]
    if min(face.shape[:2]) < 2:
        return 0.0
    method = cv2.INTER_AREA if min(face.shape[:2]) > FACE_PX else cv2.INTER_LINEAR
    grey = cv2.cvtColor(cv2.resize(face, (FACE_PX, FACE_PX), interpolation=method), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def check(info: MediaInfo, seen: Look, fps: float, face: str | None = None) -> list[str]:
    """Decides whether the video can be used.

    Args:
        info: of the file.
        seen: by ``look``.
        fps: that the clip will have.
        face: the option that chooses a face, or None.

    Returns:
        Warnings, a line each.

    Raises:
        InputError: no frame, no face, too small a face, several people and none chosen.
    """
    if seen.sampled == 0:
        raise InputError("the video has no frame that can be decoded.", "Convert it, e.g. to H.264 in mp4.")
    if seen.with_face == 0:
        raise InputError(
            f"no face was found in {seen.sampled} frames spread over the video.",
            "Give a video that shows a face from the front.",
        )
    if seen.inter_ocular_px < SMALLEST_FACE_PX:
        raise InputError(
            f"the face is too small: {seen.inter_ocular_px:.0f} px between the eye corners.",
            f"At least {SMALLEST_FACE_PX:.0f} px are needed, {SMALL_FACE_PX:.0f} are good.",
        )
    if face is None and seen.with_several * 2 > seen.with_face:
        times = f"{seen.several_times_s[0]:.1f} to {seen.several_times_s[-1]:.1f} s"
        raise InputError(
            f"the video shows several people ({seen.with_several} of {seen.sampled} sampled frames, {times}).",
            "Choose one: --face largest, left, right, or a number from the left (0 first).",
        )
    return list(_warnings(info, seen, fps))


def _warnings(info: MediaInfo, seen: Look, fps: float) -> list[str]:
    found = []
    if seen.with_face < seen.sampled:
        found.append(f"{seen.sampled - seen.with_face} of {seen.sampled} sampled frames show no face.")
    if seen.inter_ocular_px < SMALL_FACE_PX:
        found.append(f"the face is small: {seen.inter_ocular_px:.0f} px between the eye corners; fine detail is lost.")
    if seen.sharpness < BLURRED:
        found.append(f"the face is blurred (sharpness {seen.sharpness:.0f}, {BLURRED:.0f} and more is good).")
    if info.fps < min(SLOW_FPS, fps):
        found.append(f"the video has {info.fps:.3g} frames a second; lips need {SLOW_FPS:.0f} or more.")
    if info.duration_s < SHORT_S:
        found.append(f"the video lasts {info.duration_s:.1f} s; a head learns better from minutes.")
    if info.audio_rate_hz is None:
        found.append("the video has no sound; it can lend expression and pose, but no speech can be learned from it.")
    elif abs(info.audio_duration_s - info.duration_s) > SOUND_GAP_S:
        found.append(f"the sound lasts {info.audio_duration_s:.1f} s, the picture {info.duration_s:.1f} s.")
    return found


def _size(face: Face) -> float:
    box = ibug.bounding_box(face.landmarks)
    return float(np.sqrt(max((box[2] - box[0]) * (box[3] - box[1]), 0.0)))
