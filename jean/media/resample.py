"""Resamples audio, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import gcd

import numpy as np

ZERO_CROSSINGS = 64  # of the sinc filter on each side
KAISER_BETA = 9.0  # stop band at -90 dB, below the noise of 16-bit audio
TRANSITION = 0.09  # transition band, fraction of the lower Nyquist rate: Kaiser's formula for the two values above
BLOCK_S = 10


@lru_cache(maxsize=8)
def _filter(up: int, down: int) -> np.ndarray:
    from scipy.signal import firwin

    factor = max(up, down)
    cutoff = (1 - TRANSITION / 2) / factor  # keeps the whole transition band below Nyquist
    taps = firwin(2 * ZERO_CROSSINGS * factor + 1, cutoff, window=("kaiser", KAISER_BETA))
    return taps.astype(np.float32)


def resample(wave: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Resamples a waveform with a Kaiser-windowed sinc filter; sample 0 stays at time zero.

    Args:
        wave: float [S] or [S, C].
        from_hz: its sampling rate.
        to_hz: sampling rate of the result.

    Returns:
        float32 [⌈S · to_hz / from_hz⌉] or [⌈S · to_hz / from_hz⌉, C].
    """
    if from_hz == to_hz or not len(wave):
        return wave.astype(np.float32, copy=False)
    from scipy.signal import resample_poly

    common = gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    return resample_poly(wave.astype(np.float32, copy=False), up, down, axis=0, window=_filter(up, down))


def resample_blocks(blocks: Iterable[np.ndarray], from_hz: int, to_hz: int) -> Iterator[np.ndarray]:
    """Yields the same samples as ``resample`` of the concatenated blocks, in constant memory.

    Args:
        blocks: float32 [S] each.
        from_hz: their sampling rate.
        to_hz: sampling rate of the result.
    """
    if from_hz == to_hz:
        yield from blocks
        return
    common = gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    # Both are multiples of ``down``, so that block borders fall on output samples
    margin = -(-(ZERO_CROSSINGS * max(up, down) // up + 1) // down) * down
    size = max(1, BLOCK_S * from_hz // down) * down
    buffer = np.zeros(margin, np.float32)  # the last ``margin`` samples of the output so far, then new samples
    skip = margin * up // down
    for block in blocks:
        buffer = np.concatenate((buffer, block.astype(np.float32, copy=False)))
        while len(buffer) >= size + 2 * margin:
            piece = resample(buffer[: size + 2 * margin], from_hz, to_hz)
            yield piece[skip : skip + size * up // down]
            buffer = buffer[size:]
    remaining = len(buffer) - margin
    if remaining > 0:
        yield resample(buffer, from_hz, to_hz)[skip : skip - (-remaining * up // down)]
