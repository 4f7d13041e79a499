"""Inspects a few frames of a video before long work starts: can it be used, and what will it lack?

A video that cannot be used raises an ``InputError``; a poor one gives warnings of one line each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jean import landmarks as ibug
from jean.clips.meta import Crop
from jean.errors import InputError
from jean.features.base import Face
from jean.preparation.crop import SMALL_FACE
from jean.preparation.tracking.choose_face import NOTABLE_SIZE
from jean.preparation.tracking.tracks import Tracks

if TYPE_CHECKING:
    from jean.media import MediaInfo

NO_FACE = "Give a video that shows a face from the front."
SAMPLES = 12  # frames that are inspected
SMALLEST_FACE_PX = 12.0  # between the outer eye corners; below this, landmarks of any tracker are meaningless
SMALL_FACE_PX = 45.0  # a face of about 100 px: less detail than a 256 px crop shows
BLURRED = 25.0  # variance of the Laplacian of the face at FACE_PX, grey levels squared; sharp faces have 45 to 600
FACE_PX = 128  # size at which sharpness is measured
SHORT_S = 30.0  # shorter videos give a warning
SLOW_FPS = 15.0  # lower frame rates give a warning
SOUND_GAP_S = 0.5  # larger differences between the durations of sound and pictures give a warning
SEEK_FRAMES = 400  # longer videos are sampled by seeking: a dozen seeks take as long as decoding this many frames
FORWARD = 30  # frames decoded at most after a key frame to come closer to the requested time


@dataclass(frozen=True)
class Inspection:
    """Measurements on sampled frames of a video.

    Attributes:
        sampled: sampled frames.
        with_face: frames with a face.
        with_several: frames with several faces of similar size.
        inter_ocular_px: median distance of the outer eye corners, px of the video; 0 without a face.
        sharpness: median variance of the Laplacian of the face at 128 px; 0 without a face.
        several_times_s: times of the frames with several faces.
        face_height_px: median height of the face from the brows to the chin, px of the video; 0 without a face.
        face_share: the same as a fraction of the height of the video.
    """

    sampled: int
    with_face: int
    with_several: int
    inter_ocular_px: float
    sharpness: float
    several_times_s: tuple[float, ...]
    face_height_px: float = 0.0
    face_share: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The values of ``jean.clips.meta.VideoLook``."""
        return {
            "sampled": self.sampled,
            "with_face": self.with_face,
            "inter_ocular_px": round(self.inter_ocular_px, 2),
            "face_height_px": round(self.face_height_px, 1),
            "face_share": round(self.face_share, 3),
            "sharpness": round(self.sharpness, 1),
        }


def sample_video(path: Path, duration_s: float, frame_count: int, count: int) -> list[tuple[float, np.ndarray]]:
    """Decodes up to ``count`` frames at about evenly spaced times.

    Short videos are decoded completely; long ones are sampled by seeking, which takes seconds. Fewer frames, but at
    least the first, are returned where key frames are rare or the file does not support seeking.

    Args:
        path: a video.
        duration_s: its duration.
        frame_count: its number of frames.
        count: requested number of frames.

    Returns:
        (time in seconds, upright RGB uint8 [H, W, 3]), with strictly increasing times.

    Raises:
        InputError: no media, no video, or no frame can be decoded.
    """
    from jean.media import is_sequence, sample_frames

    if frame_count <= SEEK_FRAMES or is_sequence(path):
        return list(sample_frames(path, count, lambda _: None))
    frames: dict[float, np.ndarray] = {}
    for target_s in (np.arange(count) + 0.5) * duration_s / count:
        try:
            time_s, image = _frame_near(path, float(target_s))
        except InputError:
            continue  # a damaged part; the other samples may still show a face
        frames[time_s] = image
    if not frames:
        time_s, image = _frame_near(path, None)
        frames[time_s] = image
    return sorted(frames.items())


def _frame_near(path: Path, target_s: float | None) -> tuple[float, np.ndarray]:
    """A frame between the key frame before ``target_s`` and ``target_s``; for None the first frame."""
    import av

    from jean.media.container import open_media, video_stream
    from jean.media.frame import ToRgb

    with open_media(path) as container:
        stream = video_stream(container, path)
        start = stream.start_time or 0
        if target_s is not None:
            try:
                container.seek(start + int(target_s / stream.time_base), stream=stream)
            except av.error.FFmpegError as error:
                raise InputError(f"{path} does not support seeking.") from error
        nearest, time_s = None, 0.0
        for frame in islice(container.decode(stream), FORWARD if target_s is not None else 1):
            nearest, time_s = frame, 0.0 if frame.pts is None else float((frame.pts - start) * stream.time_base)
            if target_s is None or time_s >= target_s:
                break
        if nearest is not None:
            return time_s, ToRgb(nearest, stream.sample_aspect_ratio, str(path), lambda _: None)(nearest)
    raise InputError(f"{path}: no frame can be decoded.", "The file is damaged: copy it again.")


def inspect_frames(frames: Sequence[tuple[float, np.ndarray]], faces: Sequence[Sequence[Face]]) -> Inspection:
    """Measures sampled frames.

    Args:
        frames: (time in seconds, RGB uint8 [H, W, 3]).
        faces: the faces in each frame.
    """
    distances, heights, shares, sharpnesses, several_times = [], [], [], [], []
    for (time_s, image), found in zip(frames, faces, strict=True):
        if not found:
            continue
        sizes = [_size(face) for face in found]
        largest = found[int(np.argmax(sizes))]
        distances.append(float(ibug.inter_ocular(largest.landmarks)))
        heights.append(float(np.ptp(largest.landmarks[:, 1])))
        shares.append(heights[-1] / image.shape[0])
        sharpnesses.append(sharpness(image, largest.landmarks))
        if sum(size >= NOTABLE_SIZE * max(sizes) for size in sizes) > 1:
            several_times.append(time_s)
    distance, height, share, blur = (
        float(np.median(values)) if values else 0.0 for values in (distances, heights, shares, sharpnesses)
    )
    times = tuple(several_times)
    return Inspection(len(frames), len(distances), len(several_times), distance, blur, times, height, share)


def sharpness(image: np.ndarray, landmarks: np.ndarray) -> float:
    """Variance of the Laplacian of the face resized to 128 px, in grey levels squared."""
    import cv2

    left, top = np.maximum(np.floor(landmarks.min(axis=0)), 0).astype(int)
    right, bottom = np.ceil(landmarks.max(axis=0)).astype(int)
    face = image[top:bottom, left:right]
    if min(face.shape[:2]) < 2:
        return 0.0
    method = cv2.INTER_AREA if min(face.shape[:2]) > FACE_PX else cv2.INTER_LINEAR
    grey = cv2.cvtColor(cv2.resize(face, (FACE_PX, FACE_PX), interpolation=method), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def check_video(
    info: MediaInfo, inspection: Inspection, fps: float, face: str | None = None, remedy: str = NO_FACE
) -> list[str]:
    """Decides whether a video can be used.

    Args:
        info: properties of the file.
        inspection: measurements on its frames.
        fps: frame rate of the clip.
        face: the option that chooses a face, or None.
        remedy: what to do if no face was found.

    Returns:
        Warnings, one line each.

    Raises:
        InputError: no frame, no face, too small a face, or several people and none chosen.
    """
    if inspection.sampled == 0:
        raise InputError("the video has no frame that can be decoded.", "Convert it, e.g. to H.264 in mp4.")
    if inspection.with_face == 0:
        raise InputError(f"no face was found in {inspection.sampled} frames of the video.", remedy)
    if inspection.inter_ocular_px < SMALLEST_FACE_PX:
        raise InputError(
            f"the face is too small: {_face_size(inspection)}.",
            f"At least {SMALLEST_FACE_PX:.0f} px are needed, {SMALL_FACE_PX:.0f} are good.",
        )
    if face is None and inspection.with_several * 2 > inspection.with_face:
        times = f"{inspection.several_times_s[0]:.1f} to {inspection.several_times_s[-1]:.1f} s"
        raise InputError(
            f"the video shows several people ({inspection.with_several} of {inspection.sampled} sampled frames, "
            f"{times}).",
            "Choose one: --face largest, left, right, or a number from the left (0 first).",
        )
    return _warnings(info, inspection, fps)


def _warnings(info: MediaInfo, inspection: Inspection, fps: float) -> list[str]:
    warnings = []
    if inspection.with_face < inspection.sampled:
        without = inspection.sampled - inspection.with_face
        warnings.append(f"{without} of {inspection.sampled} sampled frames show no face.")
    if inspection.inter_ocular_px < SMALL_FACE_PX:
        warnings.append(f"the face is small: {_face_size(inspection)}; fine detail is lost.")
    if inspection.sharpness < BLURRED:
        warnings.append(f"the face is blurred (sharpness {inspection.sharpness:.0f}, {BLURRED:.0f} and more is good).")
    if info.fps < min(SLOW_FPS, fps):
        warnings.append(f"the video has {info.fps:.3g} frames per second; lips need {SLOW_FPS:.0f} or more.")
    if info.duration_s < SHORT_S:
        warnings.append(f"the video lasts {info.duration_s:.1f} s; a head learns better from minutes.")
    if info.audio_rate_hz is None:
        warnings.append("the video has no sound; it can drive expression and pose, but not be trained on.")
    elif abs(info.audio_duration_s - info.duration_s) > SOUND_GAP_S:
        warnings.append(f"the sound lasts {info.audio_duration_s:.1f} s, the pictures {info.duration_s:.1f} s.")
    return warnings


def _face_size(inspection: Inspection) -> str:
    """How large the face is, as text."""
    distance = f"{inspection.inter_ocular_px:.0f} px between the eye corners"
    if not inspection.face_share:
        return distance
    return f"{distance}, {inspection.face_height_px:.0f} px high ({inspection.face_share:.0%} of the video's height)"


def _size(face: Face) -> float:
    """Side of a square as large as the box around the landmarks, px."""
    box = ibug.bounding_box(face.landmarks)
    return float(np.sqrt(max((box[2] - box[0]) * (box[3] - box[1]), 0.0)))


def choice_warnings(choice: dict[str, Any], tracks: Tracks, chosen: np.ndarray, crop: Crop) -> list[str]:
    """Warnings about frames without the face, faces that follow one another, and a head that moves far."""
    warnings = []
    missing = len(chosen) - choice["valid"]
    if missing:
        warnings.append(f"{missing} of {len(chosen)} frames do not show the face; they are masked.")
    if choice["successive"]:
        people = choice["people"]
        warnings.append(f"{people} faces follow one another; choose one with --face if they are different people.")
    boxes = tracks.values("landmarks", chosen[chosen >= 0])
    height = float(np.median(boxes[..., 1].max(axis=1) - boxes[..., 1].min(axis=1)))
    if height < SMALL_FACE * crop.side_px:
        warnings.append(f"the head moves far: the face is {height / crop.side_px:.0%} of the crop's height.")
    return warnings
