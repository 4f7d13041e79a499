"""Frame rates and sampling rates."""

from __future__ import annotations

import math
from fractions import Fraction

from jean.errors import UsageError

# Sampling rate of every waveform inside the project: audio features, clips and lip-sync metrics all expect 16 kHz.
RATE_HZ = 16000

# duration · fps may exceed a whole number by floating-point rounding; that much of a frame is ignored.
ROUNDING_FRAMES = 1e-6


def rational_fps(fps: float) -> Fraction:
    """The exact frame rate that a rounded number stands for.

    Args:
        fps: frames per second, for example 29.97.

    Returns:
        30000/1001 for 29.97, 24000/1001 for 23.98, 25/2 for 12.5.

    Raises:
        UsageError: ``fps`` is not between 1 and 1000.

    Example:
        >>> rational_fps(29.97)
        Fraction(30000, 1001)
    """
    if not math.isfinite(fps) or not 1 <= fps <= 1000:
        raise UsageError(f"{fps} frames per second are not possible.", "Choose a rate from 1 to 1000.")
    for whole in (24, 30, 48, 60, 120):
        if abs(fps - whole * 1000 / 1001) < 0.006:  # 23.98 and 29.97 are written with two digits
            return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1001)


def count_frames(duration_s: float, fps: float) -> int:
    """Number of frames that cover ``duration_s`` seconds: ⌈duration · fps⌉, tolerant of rounding errors.

    Example:
        >>> count_frames(8.0, 25.0), count_frames(8.01, 25.0)
        (200, 201)
    """
    return max(0, math.ceil(duration_s * fps - ROUNDING_FRAMES))
