"""Windows of audio features around each video frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jean.clips.audio_track import AudioTrack
from jean.features.base import AudioFeatures


class WindowRows:
    """Audio windows of several clips in sequence, [T, window, D], cut from their files where they are needed.

    Args:
        parts: the audio features of each clip.
        shifts: by how many frames each clip's sound is late: its frames take the windows of so many frames later, and
            the outermost ones where there are none. None for 0.
    """

    def __init__(self, parts: Sequence[AudioTrack], shifts: Sequence[int] | None = None):
        self._parts = list(parts)
        self._shifts = [0] * len(parts) if shifts is None else list(shifts)
        self._ends = np.cumsum([len(part) for part in parts])
        self.shape = (int(self._ends[-1]), *parts[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Windows float32 [..., window, D] of the frames ``rows`` [...]."""
        rows = np.asarray(rows)
        flat = rows.reshape(-1)
        result = np.empty((len(flat), *self.shape[1:]), np.float32)
        part_of = np.searchsorted(self._ends, flat, side="right")
        for number in np.unique(part_of):
            own = part_of == number
            part = self._parts[number]
            row = flat[own] - (self._ends[number] - len(part)) + self._shifts[number]
            result[own] = part.at(np.clip(row, 0, len(part) - 1))
        return result.reshape(*rows.shape, *self.shape[1:])


def neighbour_rows(frame_count: int, neighbours: int, spacing: float = 1.0) -> np.ndarray:
    """Indices of the frames that smoothing combines for each frame, int64 [T, N].

    These are the N/2 frames before a frame, the frame itself and the frames after it. At the ends, the first and the
    last frame are repeated.

    Args:
        frame_count: T.
        neighbours: N.
        spacing: distance of two neighbours in frames; not 1 where a result has another frame rate than the training.

    Example:
        >>> neighbour_rows(frame_count=4, neighbours=2).tolist()
        [[0, 0], [0, 1], [1, 2], [2, 3]]
    """
    offsets = np.round((np.arange(neighbours) - neighbours // 2) * spacing).astype(np.int64)
    return np.clip(np.arange(frame_count)[:, None] + offsets, 0, frame_count - 1)


def extract_track(extractor: AudioFeatures, wave: np.ndarray, frame_count: int, fps: float) -> AudioTrack:
    """Extracts the audio features of a wave for the frames of a video.

    ``prepare`` and ``render`` both call this, so that clips and new sound are treated alike.

    Args:
        extractor: the audio features.
        wave: mono, 16 kHz, [S] in [-1, 1].
        frame_count: T; the frames may last longer or shorter than the sound.
        fps: frames per second.
    """
    rows = np.asarray(extractor.extract(wave), np.float32)
    return AudioTrack.of_rows(rows, frame_count, fps, extractor.rate_hz, extractor.window)


def extract_windows(extractor: AudioFeatures, wave: np.ndarray, frame_count: int, fps: float) -> np.ndarray:
    """The windows of ``extract_track``, float32 [T, window, D]."""
    return extract_track(extractor, wave, frame_count, fps).windows()
