"""Slow and fast parts of tracks.

Expression changes within a second, speech several times as fast (section 1 of the paper: "lower temporal frequency"). A
mean over about a second therefore keeps the expression and loses the speech; what it loses besides, such as blinks,
has inputs of its own (``jean.drivers.eyes``).
"""

from __future__ import annotations

import numpy as np

HELD_S = 0.48  # standard deviation of the Gaussian that separates a held mouth from a speaking one, s


def window_mean(track: np.ndarray, fps: float, window_s: float) -> np.ndarray:
    """Means of a track [T, D] over windows of ``window_s`` seconds around each frame, of its own type.

    The window holds an odd number of frames, so that it has a middle. At the ends it holds the frames that exist.

    Args:
        track: one row per frame.
        fps: frames per second.
        window_s: 0 leaves the track as it is.

    Example:
        >>> window_mean(np.array([[0.0], [3.0], [6.0], [0.0]]), fps=25, window_s=0.12).ravel().tolist()
        [1.5, 3.0, 3.0, 3.0]
    """
    reach = round(window_s * fps) // 2
    if not reach:
        return track
    total = np.concatenate([np.zeros((1, track.shape[1])), np.cumsum(track, 0, dtype=np.float64)])
    middle = np.arange(len(track))
    first, end = np.maximum(middle - reach, 0), np.minimum(middle + reach + 1, len(track))
    return ((total[end] - total[first]) / (end - first)[:, None]).astype(track.dtype)


def parted_mouth(track: np.ndarray, fps: float, reach_s: float = HELD_S) -> tuple[np.ndarray, np.ndarray]:
    """The spoken and the held part of a mouth's track [T, K]; their sum is the track.

    The held part is a Gaussian mean without delay: a smile or a frown, which outlasts syllables.

    Args:
        track: one row per frame.
        fps: frames per second.
        reach_s: standard deviation of the Gaussian, s; 0 holds nothing.
    """
    from scipy.ndimage import gaussian_filter1d

    if not reach_s:
        return track, np.zeros_like(track)
    held = gaussian_filter1d(np.asarray(track, np.float64), reach_s * fps, axis=0, mode="reflect").astype(track.dtype)
    return track - held, held
