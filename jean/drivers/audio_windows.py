"""Windows of audio features around each video frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jean.features.base import AudioFeatures


class WindowRows:
    """Audio windows of several clips in sequence, [T, window, D], read from their files where they are needed.

    A minute of windows takes about 8 MB, more than everything else that a training holds per frame.

    Args:
        parts: windows of each clip [T_i, window, D], normally memory-mapped.
        shifts: by how many frames each clip's sound is late: its frames take the windows of so many frames later, and
            the outermost ones where there are none. None for 0.
    """

    def __init__(self, parts: Sequence[np.ndarray], shifts: Sequence[int] | None = None):
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
            result[own] = part[np.clip(row, 0, len(part) - 1)]
        return result.reshape(*rows.shape, *self.shape[1:])


def first_rows(frame_count: int, fps: float, rate_hz: float, window: int) -> np.ndarray:
    """Index of the first feature row of each frame's window, int64 [T]; negative or beyond the end where it sticks out.

    Frame t stands at (t + 0.5) / ``fps`` seconds and row n at n / ``rate_hz`` seconds. The window is placed so that its
    middle is as near as possible to the frame; of two equally near positions, the later one is taken.

    Args:
        frame_count: T.
        fps: frames per second.
        rate_hz: feature rows per second.
        window: rows per window.
    """
    centres = (np.arange(frame_count) + 0.5) / fps * rate_hz
    # 1e-6: rounding errors must not decide exact ties
    return np.floor(centres - (window - 1) / 2 + 0.5 + 1e-6).astype(np.int64)


def frame_windows(
    rows: np.ndarray,
    frame_count: int,
    fps: float,
    rate_hz: float,
    window: int,
    frames: slice = slice(None),
) -> np.ndarray:
    """Cuts a window of feature rows for each video frame.

    Args:
        rows: float32 [N, D], row n at n / ``rate_hz`` seconds.
        frame_count: T; the frames may last longer or shorter than the sound.
        fps: frames per second.
        rate_hz: feature rows per second.
        window: rows per window.
        frames: which frames; all by default.

    Returns:
        float32 [T, window, D]; rows before the start and after the end are zeros.
    """
    indices = first_rows(frame_count, fps, rate_hz, window)[frames, None] + np.arange(window)
    inside = (indices >= 0) & (indices < len(rows))
    windows = np.asarray(rows, np.float32)[np.clip(indices, 0, max(len(rows) - 1, 0))]
    windows[~inside] = 0.0
    return windows


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


def extract_windows(extractor: AudioFeatures, wave: np.ndarray, frame_count: int, fps: float) -> np.ndarray:
    """Extracts features from a wave and cuts a window for each video frame, float32 [T, window, D].

    ``prepare`` and ``render`` both call this, so that clips and new sound are treated alike.

    Args:
        extractor: the audio features.
        wave: mono, 16 kHz, [S] in [-1, 1].
        frame_count: T.
        fps: frames per second.
    """
    return frame_windows(extractor.extract(wave), frame_count, fps, extractor.rate_hz, extractor.window)
