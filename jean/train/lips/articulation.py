"""Lip parameters of timed phonemes, with coarticulation (dominance functions; Cohen and Massaro, 1993).

Each phoneme has a target per parameter and a dominance, which falls off exponentially before and after it. A
parameter's value is the average of the targets, weighted by dominance. So a bilabial closes the lips between any
vowels, whereas the tongue sounds t, d, n and k leave them to their neighbours.
"""

from __future__ import annotations

import numpy as np

from jean.lips.parameters import PARAMETERS
from jean.lips.spectrum import ROWS_HZ
from jean.synthetic_speaker.phonemes import phoneme_table

Segment = tuple[str, float, float]  # phoneme (a name in ``phoneme_table``), start and end, s

# Dominance of jaw, round, spread, close, tuck, raise, in the order of ``controls.SPEECH_CONTROLS`` without the tongue.
_VOWEL = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
_BY_NAME: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(("B", "P", "M"), (0.5, 0.1, 0.1, 6.0, 0.5, 0.1)),
    **dict.fromkeys(("F", "V"), (0.9, 0.15, 0.15, 0.5, 5.0, 1.0)),
    **dict.fromkeys(("S", "Z"), (1.0, 0.2, 0.3, 0.5, 0.5, 0.3)),
    **dict.fromkeys(("SH", "CH", "JH"), (0.9, 0.9, 0.5, 0.5, 0.5, 0.3)),
    **dict.fromkeys(("TH", "DH"), (0.5, 0.15, 0.2, 0.4, 0.4, 0.2)),
    **dict.fromkeys(("T", "D", "N", "L"), (0.35, 0.12, 0.15, 0.4, 0.4, 0.15)),
    **dict.fromkeys(("K", "G", "NG"), (0.25, 0.1, 0.1, 0.4, 0.4, 0.1)),
    "W": (0.9, 2.5, 1.5, 0.5, 0.5, 0.3),
    "R": (0.5, 0.8, 0.4, 0.4, 0.4, 0.2),
    "Y": (0.6, 0.5, 0.8, 0.4, 0.4, 0.3),
    "HH": (0.1, 0.05, 0.05, 0.3, 0.3, 0.05),
    "SIL": (0.9, 0.35, 0.35, 0.6, 0.6, 0.5),
}
# Time constants of the fall before a phoneme and after it, s. Lips anticipate, so the first one is longer.
_BEFORE_S, _AFTER_S = 0.055, 0.047
_SILENCE_BEFORE_S, _SILENCE_AFTER_S = 0.080, 0.068
_CLOSURE_BEFORE_S, _CLOSURE_AFTER_S = 0.030, 0.025  # lips close and open fast
_SMOOTHING_ROWS = 1.5

NAMES = tuple(phoneme_table())  # classes of the prior's auxiliary output; the last ones may be unused


def lip_targets(segments: list[Segment], count: int) -> np.ndarray:
    """Lip parameters of timed phonemes, float32 [N, 5], row n at n / 100 s.

    Args:
        segments: the phonemes, which need not cover all rows.
        count: N.
    """
    table = phoneme_table()
    rows_s = np.arange(count) / ROWS_HZ
    weighted, weight = np.zeros((count, 6)), np.full((count, 6), 1e-6)
    for name, start, end in segments:
        before, after = _time_constants(name)
        middle, dominance = (start + end) / 2, np.array(_BY_NAME.get(name, _VOWEL))
        phoneme = table[name]
        for low, high, mouth in ((start, middle, phoneme.mouth_start), (middle, end, phoneme.mouth_end)):
            fall = np.exp(-np.maximum(low - rows_s, 0) / before - np.maximum(rows_s - high, 0) / after)
            share = 0.5 * fall[:, None] * dominance
            weighted += share * np.array(mouth[:6])
            weight += share
    jaw, rounded, spread, close, tuck, raised = (weighted / weight).T
    opening = (jaw * (1 - 0.45 * rounded) + 0.12 * raised) * (1 - np.clip(close, 0, 1) ** 0.7) * (1 - 0.5 * tuck)
    width = 0.6 * spread - rounded + 0.1 * jaw
    columns = {"opening": opening, "width": width, "rounding": rounded, "tuck": tuck, "jaw": jaw}
    from scipy.ndimage import gaussian_filter1d

    stacked = np.stack([columns[name] for name in PARAMETERS], 1)
    return np.asarray(gaussian_filter1d(stacked, _SMOOTHING_ROWS, axis=0)).astype(np.float32)


def phoneme_classes(segments: list[Segment], count: int) -> np.ndarray:
    """Index in ``NAMES`` of the phoneme at each row, int64 [N]; silence outside of all segments."""
    classes = np.full(count, NAMES.index("SIL"))
    for name, start, end in segments:
        classes[int(start * ROWS_HZ) : int(np.ceil(end * ROWS_HZ))] = NAMES.index(name)
    return classes


def _time_constants(name: str) -> tuple[float, float]:
    if name == "SIL":
        return _SILENCE_BEFORE_S, _SILENCE_AFTER_S
    if name in ("B", "P", "M"):
        return _CLOSURE_BEFORE_S, _CLOSURE_AFTER_S
    return _BEFORE_S, _AFTER_S
