"""Audio features of a clip: rows that are stored once, and the windows that are cut from them on reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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


@dataclass(frozen=True)
class AudioTrack:
    """The audio windows of T frames, [T, window, D], kept as the rows that they are cut from.

    Neighbouring windows overlap, so the rows take a small part of the space of the windows: an eighth for windows of 16
    rows that advance by 2.

    Attributes:
        rows: feature rows, float [N, D], N ≥ 1, often memory-mapped.
        first: index of the first row of each frame's window, int [T]. Rows outside ``rows`` are zeros.
        window: rows per window.
    """

    rows: np.ndarray
    first: np.ndarray
    window: int

    @classmethod
    def of_rows(cls, rows: np.ndarray, frame_count: int, fps: float, rate_hz: float, window: int) -> AudioTrack:
        """The track of ``frame_count`` frames; see ``first_rows`` for the arguments."""
        return cls(np.asarray(rows), first_rows(frame_count, fps, rate_hz, window), window)

    @classmethod
    def of_windows(cls, windows: np.ndarray) -> AudioTrack:
        """The track of windows [T, window, D] that do not share rows, as clips of format 1 store them."""
        count, window, width = windows.shape
        return cls(windows.reshape(-1, width), np.arange(count) * window, window)

    @classmethod
    def silent(cls, frame_count: int, window: int, width: int) -> AudioTrack:
        """Windows of zeros."""
        return cls(np.zeros((1, width), np.float32), np.ones(frame_count, np.int64), window)

    @classmethod
    def joined(cls, tracks: Sequence[AudioTrack]) -> AudioTrack:
        """Tracks one after the other. No window reaches into the rows of another track."""
        rows, first, count = [], [], 0
        for track in tracks:
            padded = track.padded()
            rows.append(padded.rows)
            first.append(padded.first + count)
            count += len(padded.rows)
        return cls(np.concatenate(rows), np.concatenate(first), tracks[0].window)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, window, D)."""
        return len(self.first), self.window, int(self.rows.shape[1])

    def __len__(self) -> int:
        return len(self.first)

    def at(self, frames: np.ndarray) -> np.ndarray:
        """Windows float32 [..., window, D] of the frames ``frames`` [...]."""
        indices = self.first[np.asarray(frames)][..., None] + np.arange(self.window)
        inside = (indices >= 0) & (indices < len(self.rows))
        windows = np.asarray(self.rows[np.clip(indices, 0, len(self.rows) - 1)], np.float32)
        windows[~inside] = 0.0
        return windows

    def windows(self) -> np.ndarray:
        """All windows, float32 [T, window, D]."""
        return self.at(np.arange(len(self)))

    def centre_rows(self) -> np.ndarray:
        """The row in the middle of each frame's window, float32 [T, D]."""
        indices = self.first + self.window // 2
        inside = (indices >= 0) & (indices < len(self.rows))
        rows = np.asarray(self.rows[np.clip(indices, 0, len(self.rows) - 1)], np.float32)
        return np.where(inside[:, None], rows, np.float32(0))

    def padded(self) -> AudioTrack:
        """The same windows with zeros around the rows, so that every window lies inside them; unused rows are left out.

        Example:
            >>> track = AudioTrack(np.array([[1.0], [2.0]]), np.array([-1, 0]), window=2)
            >>> track.padded().rows[:, 0].tolist(), track.padded().first.tolist()
            ([0.0, 1.0, 2.0], [0, 1])
        """
        low, high = int(self.first.min()), int(self.first.max()) + self.window
        kept = self.rows[max(low, 0) : max(high, 0)]
        before = min(max(-low, 0), high - low - len(kept))
        rows = np.zeros((high - low, self.rows.shape[1]), self.rows.dtype)
        rows[before : before + len(kept)] = kept
        return AudioTrack(rows, self.first - low, self.window)
