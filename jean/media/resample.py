"""Changes the sampling rate of sound, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import gcd

import numpy as np

ZERO_CROSSINGS = 64  # of the sinc on each side
KAISER_BETA = 9.0  # stop band at -90 dB, below the noise of 16 bits
TRANSITION = 0.09  # of the lower Nyquist rate: what Kaiser's formula gives for the two above
BLOCK_S = 10


@lru_cache(maxsize=8)
def _filter(up: int, down: int) -> np.ndarray:
    from scipy.signal import firwin

    widest = max(up, down)
    cutoff = (1 - TRANSITION / 2) / widest  # leaves the whole transition below Nyquist
    taps = firwin(2 * ZERO_CROSSINGS * widest + 1, cutoff, window=("kaiser", KAISER_BETA))
    return taps.astype(np.float32)


def resample(wave: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """float32 [⌈S · to / from⌉] or [.., C] from ``wave`` [S] or [S, C]; sample 0 stays sample 0."""
    if from_hz == to_hz or not len(wave):
        return wave.astype(np.float32, copy=False)
    from scipy.signal import resample_poly

    common = gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    return resample_poly(wave.astype(np.float32, copy=False), up, down, axis=0, window=_filter(up, down))


def resample_blocks(blocks: Iterable[np.ndarray], from_hz: int, to_hz: int) -> Iterator[np.ndarray]:
    """The same as ``resample`` of all blocks joined, without holding them all.

    Args:
        blocks: float32 [S] each.
        from_hz: their rate.
        to_hz: the rate wanted.
    """
    if from_hz == to_hz:
        yield from blocks
        return
    common = gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    # Both in whole multiples of ``down``, so that block borders fall on output samples
    margin = -(-(ZERO_CROSSINGS * max(up, down) // up + 1) // down) * down
    size = max(1, BLOCK_S * from_hz // down) * down
    held = np.zeros(margin, np.float32)  # the last ``margin`` samples before the block, then the block
    ahead = margin * up // down
    for block in blocks:
        held = np.concatenate((held, block.astype(np.float32, copy=False)))
        while len(held) >= size + 2 * margin:
            piece = resample(held[: size + 2 * margin], from_hz, to_hz)
            yield piece[ahead : ahead + size * up // down]
            held = held[size:]
    rest = len(held) - margin
    if rest > 0:
        yield resample(held, from_hz, to_hz)[ahead : ahead - (-rest * up // down)]
