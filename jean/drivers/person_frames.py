"""All frames of one person's clips, with the drivers of a method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jean.clips.clip import Clip, is_clip
from jean.drivers.audio_windows import WindowRows, neighbour_rows
from jean.drivers.expression import UpperFace
from jean.drivers.method import Method, plain_method
from jean.drivers.offsets import face_offsets, fit_offsets, predict_offsets
from jean.drivers.person_eyes import fit_lids, lid_offsets, person_eyes
from jean.errors import InputError
from jean.landmarks import EYES, MOUTH

HELD_OUT_FRACTION = 0.1  # the last tenth of every clip is excluded from training


class PersonFrames:
    """T frames of one person's clips in sequence; images are read lazily.

    Args:
        clips: prepared clips of one person, of one size, with the same extractors.
        method: the speech and expression inputs.
        eyes: whether gaze and lids are inputs too.

    Attributes:
        sound_shifts: by how many frames the sound of each clip is late (``Clip.sound_late_s``).
        audio: audio windows [T, window, D], of sound in time.
        expression: expression vectors, float32 [T, E].
        measured_offsets: landmark offsets from the rigid head, float32 [T, 68, 2], cm.
        offsets: the offsets that drive the head: the measured ones, or those predicted from the vectors.
        camera_to_world: float32 [T, 4, 4].
        focal_px, center_px: intrinsics, float32 [T] and [T, 2].
        landmarks: [T, 68, 2], px.
        valid: bool [T], whether the frame shows the face.
        shape: the rigid head, [68, 3], cm.
        eyes: eye values float32 [T, 4] (``jean.drivers.eyes``); None where they are no inputs of the head.
        train, held_out: indices of valid frames.
        boxes: see ``region_boxes``.

    Raises:
        InputError: a clip without sound, or clips that differ in size or extractors.
    """

    def __init__(self, clips: Sequence[Clip], method: Method, eyes: bool = False):
        check_alike(clips)
        self.clips, self.method = list(clips), method
        self.size_px = clips[0].size_px
        counts = [clip.frame_count for clip in clips]
        self.clip_of = np.repeat(np.arange(len(clips)), counts)
        self.frame_of = np.concatenate([np.arange(n) for n in counts])
        self.camera_to_world = np.concatenate([clip.arrays["camera_to_world"] for clip in clips]).astype(np.float32)
        self.landmarks = _joined([clip.arrays["landmarks"] for clip in clips])
        self.valid = np.concatenate([clip.arrays["valid"] for clip in clips])
        self.shape = np.mean([clip.arrays["shape"] for clip in clips], 0)
        self.focal_px = np.repeat([clip.camera.focal_px for clip in clips], counts).astype(np.float32)
        self.center_px = np.repeat([clip.camera.center_px for clip in clips], counts, 0).astype(np.float32)
        held_out = np.concatenate([np.arange(n) >= n - max(1, round(n * HELD_OUT_FRACTION)) for n in counts])
        self.train = np.flatnonzero(~held_out & self.valid)
        self.held_out = np.flatnonzero(held_out & self.valid)
        if not len(self.train):
            raise InputError("the clips have no frame with a face to train on.", "Prepare other videos.")
        self.boxes = region_boxes(self.landmarks, self.size_px)
        self.sound_shifts = [round(clip.sound_late_s * clip.fps) for clip in clips]
        self.audio = WindowRows([method.speech.track(clip) for clip in clips], self.sound_shifts)
        self.expression = _joined([method.expression.vectors(clip) for clip in clips])
        self.measured_offsets = _joined([face_offsets(clip) for clip in clips])
        self.offsets = self.measured_offsets
        if not method.expression.measures_offsets:
            coefficients = fit_offsets(self.expression[self.train], self.measured_offsets[self.train])
            self.offsets = predict_offsets(coefficients, self.expression).astype(np.float32)
        self.eyes = person_eyes(clips) if eyes else None
        if self.eyes is not None and not method.expression.measures_offsets:
            lids = fit_lids(self.eyes[self.train], self.measured_offsets[self.train])
            self.offsets[:, EYES] = lid_offsets(lids, self.eyes)

    def image(self, index: int) -> np.ndarray:
        """One frame, uint8 [H, W, 3], RGB."""
        return self.clips[self.clip_of[index]].frames[self.frame_of[index]]

    def matte(self, index: int) -> np.ndarray:
        """Opacity of head and torso, uint8 [H, W, 2]."""
        return self.clips[self.clip_of[index]].matte[self.frame_of[index]]

    def plate(self, index: int) -> np.ndarray:
        """The clean background of the frame's clip, uint8 [H, W, 3]."""
        return self.clips[self.clip_of[index]].background

    def audio_neighbours(self, neighbours: int) -> np.ndarray:
        """Frames whose audio windows are smoothed together, int64 [T, N]; all of the frame's own clip."""
        counts = [clip.frame_count for clip in self.clips]
        firsts = np.cumsum([0, *counts[:-1]])
        rows = [first + neighbour_rows(count, neighbours) for first, count in zip(firsts, counts, strict=True)]
        return np.concatenate(rows)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Arrays of several clips in sequence; that of a single clip is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def region_boxes(landmarks: np.ndarray, size_px: int) -> np.ndarray:
    """Boxes of mouth, eyes, face, head and whole frame: [T, 5, 4] (left, top, right, bottom; px).

    Args:
        landmarks: [T, 68, 2], px; frames of NaN get the whole frame everywhere.
        size_px: side of the frames.
    """
    whole = np.broadcast_to(np.array([0, 0, size_px, size_px], np.float64), (len(landmarks), 4))
    boxes = []
    for points, margin in (  # margins: fractions of the box's width and height, per side
        (landmarks[:, MOUTH], (0.2, 0.5, 0.2, 0.5)),
        (landmarks[:, EYES], (0.1, 1.0, 0.1, 0.7)),
        (landmarks, (0.05, 0.1, 0.05, 0.05)),
        (landmarks, (0.5, 0.8, 0.5, 0.4)),
    ):
        low, high = points.min(1), points.max(1)
        extent = np.concatenate([high - low, high - low], 1)
        box = np.concatenate([low, high], 1) + extent * np.array([-1, -1, 1, 1]) * np.array(margin)
        boxes.append(np.where(np.isnan(box), whole, np.clip(box, 0, size_px)))
    return np.stack([*boxes, whole], 1)


def check_alike(clips: Sequence[Clip]) -> None:
    """Refuses clips that cannot be trained on together.

    Raises:
        InputError: no clip, a silent clip, or the same clip or video twice.
        ArtefactError: clips that differ in size, frame rate, tracker, expression coefficients or audio features.
    """
    if not clips:
        raise InputError("no clip was given.", "Name at least one prepared clip.")
    seen: dict[str, Clip] = {}
    for clip in clips:
        names = [clip.digest(), *([clip.meta.source.sha256] if clip.meta.source else [])]
        if (first := next((seen[name] for name in names if name in seen), None)) is not None:
            raise InputError(f"{clip.folder} shows the same video as {first.folder}.", "Name every clip once.")
        seen |= dict.fromkeys(names, clip)
        clip.sound()
        clip.require(clips[0].spec("size_px", "fps", "tracker", "expression", "audio"), clips[0].folder)


def clip_folders(folders: Sequence[Path]) -> list[Path]:
    """Clip folders; a folder of clip folders stands for all of them, sorted by name."""
    found = []
    for folder in folders:
        inner = sorted(path for path in Path(folder).glob("*") if is_clip(path))
        found += inner or [Path(folder)]
    return found


def open_clips(folders: Sequence[Path]) -> list[Clip]:
    """Opens clip folders, see ``clip_folders``.

    Raises:
        InputError: a folder is not a clip and holds none.
    """
    return [Clip.open(folder) for folder in clip_folders(folders)]


def open_person(folders: Sequence[Path], expression: str = UpperFace.kind, audio: str | None = None) -> PersonFrames:
    """The frames of a person's clips with drivers that need no run of another trainer.

    Args:
        folders: clip folders, or folders of clip folders.
        expression: kind of the expression input, see ``jean.drivers.expression.EXPRESSION_INPUTS``.
        audio: name of the audio features; None takes the first that the clips have.
    """
    clips = open_clips(folders)
    check_alike(clips)
    return PersonFrames(clips, plain_method(clips, expression, audio))
