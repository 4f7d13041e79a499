"""The window of sound that belongs to each video frame."""

from __future__ import annotations

import numpy as np

from jean.features.base import AudioFeatures


def first_rows(frame_count: int, fps: float, rate_hz: float, window: int) -> np.ndarray:
    """int64 [T]: the first row of each frame's window; may be negative or beyond the end.

    Frame t stands at (t + 0.5) / fps seconds, row n at n / ``rate_hz``; the window's middle is put on
    the nearest half or whole row, the later one where two are as near.
    """
    centres = (np.arange(frame_count) + 0.5) / fps * rate_hz
    # a millionth keeps exact ties on one side against rounding errors
    return np.floor(centres - (window - 1) / 2 + 0.5 + 1e-6).astype(np.int64)


def frame_windows(rows: np.ndarray, frame_count: int, fps: float, rate_hz: float, window: int) -> np.ndarray:
    """Cuts a window of rows for each video frame.

    Args:
        rows: float32 [N, D], row n at n / ``rate_hz`` seconds.
        frame_count: T; may be more or fewer than the sound lasts.
        fps: frames a second.
        rate_hz: rows a second.
        window: rows in a window.

    Returns:
        float32 [T, window, D]; rows before the start and after the end are zeros.
    """
    wanted = first_rows(frame_count, fps, rate_hz, window)[:, None] + np.arange(window)
    inside = (wanted >= 0) & (wanted < len(rows))
    windows = np.asarray(rows, np.float32)[np.clip(wanted, 0, max(len(rows) - 1, 0))]
    windows[~inside] = 0.0
    return windows


def neighbour_rows(frame_count: int, neighbours: int, spacing: float = 1.0) -> np.ndarray:
    """int64 [T, N]: the frames of a clip that smoothing looks at for each frame: N/2 before, itself, the rest after.

    At the ends the first and the last frame are repeated.

    Args:
        frame_count: T; neighbours: N.
        spacing: frames from one neighbour to the next; not 1 where a render has another rate than its clip.

    Example:
        >>> neighbour_rows(frame_count=4, neighbours=2).tolist()
        [[0, 0], [0, 1], [1, 2], [2, 3]]
    """
    offsets = np.round((np.arange(neighbours) - neighbours // 2) * spacing).astype(np.int64)
    return np.clip(np.arange(frame_count)[:, None] + offsets, 0, frame_count - 1)


def extract_windows(extractor: AudioFeatures, wave: np.ndarray, frame_count: int, fps: float) -> np.ndarray:
    """float32 [T, window, D] from a mono wave at 16 kHz: features, then ``frame_windows``.

    The same call makes a clip's features in ``prepare`` and those of new sound in ``render``.
    """
    return frame_windows(extractor.extract(wave), frame_count, fps, extractor.rate_hz, extractor.window)
