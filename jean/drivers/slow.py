"""Slow and fast parts of tracks.

Expression changes within a second, speech several times as fast (section 1 of the paper: "lower temporal frequency"). A
mean over about a second therefore keeps the expression and loses the speech; what it loses besides, such as blinks,
has inputs of its own (``jean.drivers.eyes``).
"""

from __future__ import annotations

import numpy as np

from jean.landmarks import UPPER_FACE
from jean.lips.parameters import opening_and_width

HELD_S = 0.48  # standard deviation of the Gaussian that separates a held mouth from a speaking one, s
LEAST_OPENING_CM = 0.02  # standard deviation of lips that speak; below it, their noise tells no slope


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


def held_offsets(offsets: np.ndarray, shape: np.ndarray, fps: float, reach_s: float = HELD_S) -> np.ndarray:
    """What a face holds with its mouth, such as a smile or a frown, without the opening of the lips: [T, 68, 2], cm.

    How far lips open is left to the speech, so that closed lips stay closed: what the fast part of the mouth does
    with its opening, the slow part does as well, and that is taken out.

    Args:
        offsets: movement of the landmarks about the person's mean face [T, 68, 2], cm; that of brows, nose and eyes
            does not count.
        shape: that mean face, seen from the front [68, 2], cm.
        fps: frames per second.
        reach_s: standard deviation of the Gaussian, s; 0 holds nothing.
    """
    moved = np.array(offsets, np.float64)
    moved[:, UPPER_FACE] = 0.0
    opening = opening_and_width(shape + moved)[:, :1] - opening_and_width(shape)[0]
    (fast, held), (fast_opening, held_opening) = (
        parted_mouth(track, fps, reach_s) for track in (moved.reshape(len(moved), -1), opening)
    )
    spoken = fast_opening - fast_opening.mean()
    slopes = spoken.T @ fast / max(float(np.square(spoken).sum()), LEAST_OPENING_CM**2 * len(spoken))
    return np.asarray(held - held_opening @ slopes).reshape(moved.shape)
