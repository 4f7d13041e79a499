"""When somebody speaks: loudness over time, no model."""

from __future__ import annotations

import numpy as np

from jean.media import RATE_HZ

BELOW_DB = 30.0  # speech reaches this far under its own loud parts: unvoiced consonants are still in it
QUIET_DB = -60.0  # of full scale: what is softer than that is no speech, however loud the rest


def levels_db(wave: np.ndarray, frame_count: int, fps: float) -> np.ndarray:
    """Loudness [T] of each frame, dB of full scale: RMS over the frame and half of each neighbour.

    Args:
        wave: mono [S] at 16 kHz, in [-1, 1].
        frame_count: T. fps: frames a second.
    """
    power = np.concatenate([[0.0], np.cumsum(np.square(np.asarray(wave, np.float64)))])
    middle = (np.arange(frame_count) + 0.5) / fps * RATE_HZ
    first = np.clip(np.round(middle - RATE_HZ / fps), 0, len(wave)).astype(int)
    last = np.clip(np.round(middle + RATE_HZ / fps), 0, len(wave)).astype(int)
    mean = (power[last] - power[first]) / np.maximum(last - first, 1)
    return 10 * np.log10(np.maximum(mean, 1e-12))


def voiced(wave: np.ndarray, frame_count: int, fps: float, below_db: float = BELOW_DB) -> np.ndarray:
    """bool [T]: frames no more than ``below_db`` under the loud ones (their 95th percentile)."""
    level = levels_db(wave, frame_count, fps)
    if not len(level):
        return np.zeros(0, bool)
    return level > max(float(np.percentile(level, 95)) - below_db, QUIET_DB)
