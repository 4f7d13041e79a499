"""Speech as a clip measures it, without a trained model: the quick motion of the lips, and the quick part of the sound.

The slow parts of both belong to the expression as well: a smile is a mouth, and an angry voice is loud.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jean.clips.clip import Clip
from jean.drivers.face_points import face_points
from jean.drivers.slow import parted_mouth
from jean.landmarks import MOUTH, WITHOUT_JAW

MOUTH_COMPONENTS, SOUND_COMPONENTS = 6, 8
NEIGHBOUR_S = 0.08  # lips lead the sound and lag the features by about that
Projection = tuple[np.ndarray, np.ndarray]  # mean [D] and axes [D, K]


def spoken_tracks(clip: Clip) -> tuple[np.ndarray, np.ndarray | None]:
    """Quick motion of the lips [T, 40], and quick part of the sound [T, D]; None for a silent clip."""
    points = np.nan_to_num(face_points(clip, "motion")[:, MOUTH.start - WITHOUT_JAW.start :])
    mouth = parted_mouth(points.reshape(len(points), -1), clip.fps)[0]
    if clip.audio_path is None:
        return mouth, None
    windows = clip.audio_windows(clip.audio_name())
    return mouth, parted_mouth(windows[:, windows.shape[1] // 2].astype(np.float32), clip.fps)[0]


def components(track: np.ndarray, count: int) -> Projection:
    """Mean and first principal axes of a track [T, D]."""
    mean = track.mean(0)
    return mean, np.linalg.svd(track[:: max(1, len(track) // 2000)] - mean, full_matrices=False)[2][:count].T


def project(track: np.ndarray, projection: Projection) -> np.ndarray:
    """Values [T, K] of a track along the axes of ``components``; they keep their own variances."""
    return np.asarray((track - projection[0]) @ projection[1])


def speech_concepts(clips: Sequence[Clip]) -> list[np.ndarray]:
    """What e_e of each clip shall not tell: components of lips and sound at the frame and beside it, [T, K] per clip.

    Args:
        clips: of one person; the sound counts if all have one.
    """
    spoken = [spoken_tracks(clip) for clip in clips]
    parts = [[mouth for mouth, _ in spoken]]
    sounds = [sound for _, sound in spoken if sound is not None]
    if len(sounds) == len(clips):
        parts.append(sounds)
    columns = []
    for tracks, count in zip(parts, (MOUTH_COMPONENTS, SOUND_COMPONENTS), strict=False):
        projection = components(np.concatenate(tracks), count)
        columns.append([project(track, projection) for track in tracks])
    return [_with_neighbours(np.concatenate(each, 1), clip.fps) for *each, clip in zip(*columns, clips, strict=True)]


def _with_neighbours(track: np.ndarray, fps: float) -> np.ndarray:
    """Rows of a track [T, K] beside those ``NEIGHBOUR_S`` earlier and later: [T, 3K]."""
    reach, at = max(1, round(NEIGHBOUR_S * fps)), np.arange(len(track))
    return np.concatenate([track[np.clip(at + shift, 0, len(track) - 1)] for shift in (-reach, 0, reach)], 1)
