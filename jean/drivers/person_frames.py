"""What the trainers read from clips, one dataset a stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jean.clips.clip import Clip
from jean.drivers.audio_windows import neighbour_rows
from jean.drivers.lips import face_offsets
from jean.errors import InputError

HELD_OUT_SHARE = 0.1  # the last tenth of every clip is never trained on


class PersonFrames:
    """All frames of one person's clips, one after the other, read lazily.

    Args:
        clips: prepared clips of one person, of one size, with the same extractors.
        audio: name of the audio features to use, or None for the first there is.
        upper_face: take only the upper face's expression coefficients.

    Raises:
        InputError: a clip without sound, or clips that differ in size or extractors.
    """

    def __init__(self, clips: Sequence[Clip], audio: str | None = None, upper_face: bool = True):
        check_alike(clips)
        self.clips = list(clips)
        self.audio_name = audio or next(iter(clips[0].audio_features))
        self.size_px = clips[0].size_px
        counts = [clip.frame_count for clip in clips]
        self.clip_of = np.repeat(np.arange(len(clips)), counts)
        self.frame_of = np.concatenate([np.arange(n) for n in counts])
        chosen = clips[0].upper_face() if upper_face else np.ones_like(clips[0].upper_face())
        self.audio = np.concatenate([clip.audio_features[self.audio_name] for clip in clips])
        self.expression = np.concatenate([clip.arrays["expression"][:, chosen] for clip in clips])
        self.camera_to_world = np.concatenate([clip.arrays["camera_to_world"] for clip in clips]).astype(np.float32)
        self.landmarks = np.concatenate([clip.arrays["landmarks"] for clip in clips])
        self.valid = np.concatenate([clip.arrays["valid"] for clip in clips])
        self.offsets = np.concatenate([face_offsets(clip) for clip in clips])
        self.measured_offsets = self.offsets  # stays what was seen where a method tells ``offsets`` from its vector
        self.shape = np.mean([clip.arrays["shape"] for clip in clips], 0)
        self.focal_px = np.repeat([clip.camera.focal_px for clip in clips], counts).astype(np.float32)
        self.center_px = np.repeat([clip.camera.center_px for clip in clips], counts, 0).astype(np.float32)
        held_out = np.concatenate([np.arange(n) >= n - max(1, round(n * HELD_OUT_SHARE)) for n in counts])
        self.train = np.flatnonzero(~held_out & self.valid)
        self.held_out = np.flatnonzero(held_out & self.valid)
        if not len(self.train):
            raise InputError("the clips have no frame with a face to train on.", "Prepare other videos.")
        self.boxes = region_boxes(self.landmarks, self.size_px)

    def image(self, index: int) -> np.ndarray:
        """uint8 [H, W, 3], RGB."""
        return self.clips[self.clip_of[index]].frames[self.frame_of[index]]

    def matte(self, index: int) -> np.ndarray:
        """uint8 [H, W, 2], head and torso."""
        return self.clips[self.clip_of[index]].matte[self.frame_of[index]]

    def plate(self, index: int) -> np.ndarray:
        """uint8 [H, W, 3], the clean background."""
        return self.clips[self.clip_of[index]].background

    def audio_neighbours(self, neighbours: int) -> np.ndarray:
        """int64 [T, N]: dataset frames whose windows smoothing looks at, all of the frame's own clip."""
        counts = [clip.frame_count for clip in self.clips]
        firsts = np.cumsum([0, *counts[:-1]])
        rows = [first + neighbour_rows(count, neighbours) for first, count in zip(firsts, counts, strict=True)]
        return np.concatenate(rows)


def region_boxes(landmarks: np.ndarray, size_px: int) -> np.ndarray:
    """[T, 5, 4] boxes (left, top, right, bottom; px) of mouth, eyes, face, head and whole picture.

    Args:
        landmarks: [T, 68, 2] px; frames of NaN get the whole picture everywhere.
    """
    whole = np.broadcast_to(np.array([0, 0, size_px, size_px], np.float64), (len(landmarks), 4))
    boxes = []
    for points, grow in (
        (landmarks[:, 48:], (0.2, 0.5, 0.2, 0.5)),
        (landmarks[:, 36:48], (0.1, 1.0, 0.1, 0.7)),
        (landmarks, (0.05, 0.1, 0.05, 0.05)),
        (landmarks, (0.5, 0.8, 0.5, 0.4)),
    ):
        low, high = points.min(1), points.max(1)
        extent = np.concatenate([high - low, high - low], 1)
        box = np.concatenate([low, high], 1) + extent * np.array([-1, -1, 1, 1]) * np.array(grow)
        boxes.append(np.where(np.isnan(box), whole, np.clip(box, 0, size_px)))
    return np.stack([*boxes, whole], 1)


def check_alike(clips: Sequence[Clip]) -> None:
    """Refuses to mix what cannot be mixed.

    Raises:
        InputError: no clip, a silent clip, or clips that differ in size, rate, tracker or features.
    """
    if not clips:
        raise InputError("no clip was given.", "Name at least one prepared clip.")
    for clip in clips:
        if not clip.audio_features:
            raise InputError(f"{clip.folder} has no sound.", "Prepare a video with sound.")
    first = clips[0]
    for key, value in (
        ("size_px", lambda c: c.size_px),
        ("fps", lambda c: c.fps),
        ("tracker", lambda c: c.meta.get("tracker")),
        ("expression", lambda c: c.meta["expression"]),
        ("audio", lambda c: c.meta.get("audio")),
    ):
        for clip in clips[1:]:
            if value(clip) != value(first):
                raise InputError(f"{first.folder} and {clip.folder} differ in {key}.", "Prepare them with one command.")


def open_clips(folders: Sequence[Path]) -> list[Clip]:
    """Opens clip folders; a folder that holds clip folders stands for all of them, sorted by name."""
    clips = []
    for folder in folders:
        inner = sorted(path.parent for path in Path(folder).glob("*/clip.json"))
        clips += [Clip.open(path) for path in (inner or [folder])]
    return clips
