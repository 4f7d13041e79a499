"""Resampling of driver tracks: sources have their own lengths and frame rates."""

from __future__ import annotations

from typing import Literal

import numpy as np

from jean.geometry import blend_poses
from jean.row_file import in_blocks

VIDEO_FPS = 25.0  # rate at which a video is tracked that drives a head; prepared clips keep their own
Repeat = Literal["mirror", "hold", "loop"]


def source_positions(times_s: np.ndarray, fps: float, count: int, repeat: Repeat) -> np.ndarray:
    """Fractional frame numbers [T] of a source at times [T].

    Frame t of the source stands at (t + 0.5) / ``fps`` seconds, as the frames of the result do at their own rate.

    Args:
        times_s: middles of the result's frames, s.
        fps: frames per second of the source.
        count: frames of the source.
        repeat: what follows the source's end: "mirror" plays it backwards and forwards again, without a jump;
            "hold" repeats the last frame; "loop" starts again from the first.

    Example:
        >>> times_s = (np.arange(6) + 0.5) / 25
        >>> source_positions(times_s, fps=25, count=3, repeat="mirror").round(6).tolist()
        [0.0, 1.0, 2.0, 1.0, 0.0, 1.0]
        >>> source_positions(times_s, fps=25, count=3, repeat="hold").round(6).tolist()
        [0.0, 1.0, 2.0, 2.0, 2.0, 2.0]
        >>> source_positions(times_s, fps=25, count=3, repeat="loop").round(6).tolist()
        [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]
    """
    position = np.maximum(np.asarray(times_s) * fps - 0.5, 0.0)
    last = count - 1
    if last <= 0:
        return np.zeros_like(position)
    if repeat == "hold":
        return np.minimum(position, last)
    if repeat == "loop":
        return np.minimum(np.mod(position, count), last)
    phase = np.mod(position, 2 * last)
    return np.where(phase > last, 2 * last - phase, phase)


def interpolate_rows(rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Rows [T, …] at fractional ``positions`` [T], by linear interpolation of rows [N, …].

    Example:
        >>> interpolate_rows(np.array([[0.0, 10.0], [1.0, 20.0]]), np.array([0.0, 0.25, 1.0])).tolist()
        [[0.0, 10.0], [0.25, 12.5], [1.0, 20.0]]
    """

    def between(positions: np.ndarray) -> np.ndarray:
        low = np.floor(positions).astype(int)
        high = np.minimum(low + 1, len(rows) - 1)
        fraction = (positions - low).reshape(-1, *[1] * (rows.ndim - 1))
        return rows[low] * (1 - fraction) + rows[high] * fraction

    return in_blocks(between, positions)


def interpolate_poses(poses: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Poses [T, 4, 4] at fractional ``positions`` [T], by interpolation of poses [N, 4, 4]."""

    def between(positions: np.ndarray) -> np.ndarray:
        low = np.floor(positions).astype(int)
        high = np.minimum(low + 1, len(poses) - 1)
        return blend_poses(poses[low], poses[high], positions - low)

    return in_blocks(between, positions)
