"""Lag between sound and lips: the lip prior's prediction against measured lips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.lips.spectrum import ROWS_HZ

SEARCH_S = 0.8  # lags searched, in both directions
NATURAL_S = 0.12  # natural lips lead the sound by up to this
SHORTEST_S = 1.0  # of speech that a lag can be found in
TRUSTED_S = 3.0  # length of a clip from which its lag is trusted
FOUND_R = 0.22  # agreement above chance that lips and sound of one person reach
ONE_FRAME_S = 0.04


@dataclass(frozen=True)
class Sync:
    """How lips and sound go together.

    Attributes:
        lag_s: delay of the sound behind the lips at the best agreement, s. 0 to 0.12 is natural.
        r: agreement there: the mean correlation of opening and width with the prediction.
        r_opening: correlation of the opening there.
        r_width: correlation of the width there.
        chance_r: mean of the best agreements in equally wide ranges of wrong lags.
        rank: fraction of those wrong ranges that agree better, 0 if none does.
    """

    lag_s: float
    r: float
    r_opening: float
    r_width: float
    chance_r: float
    rank: float


def belongs_together(r: float, chance_r: float) -> bool:
    """Whether lips and sound agree as those of one person do; the values are those of ``Sync``."""
    return r >= chance_r + FOUND_R


def late_s(lag_s: float, r: float, chance_r: float, rank: float) -> float:
    """How late the sound is, s, beyond what is natural; 0 where it is not late or early, or where that is not certain.

    The values are those of ``Sync``.

    >>> late_s(0.46, 0.7, 0.2, 0.0), late_s(0.08, 0.7, 0.2, 0.0), late_s(0.46, 0.3, 0.2, 0.0)
    (0.4, 0.0, 0.0)
    """
    natural = -NATURAL_S / 2 - ONE_FRAME_S <= lag_s <= NATURAL_S + 2 * ONE_FRAME_S
    if natural or rank > 0 or not belongs_together(r, chance_r):
        return 0.0
    return round(lag_s - NATURAL_S / 2, 3)


def at_rows(times_s: np.ndarray, lips: np.ndarray) -> np.ndarray | None:
    """Lips measured at times [T], s, at 100 rows per second from 0 on: [N, C]; None for less than a second of them.

    Args:
        times_s: times of the frames, s.
        lips: [T, C]; NaN without a face. Gaps are interpolated.
    """
    seen = np.isfinite(lips).all(1)
    if seen.sum() < SHORTEST_S * 10 or times_s[seen][-1] - times_s[seen][0] < SHORTEST_S:
        return None
    rows_s = np.arange(int(times_s[seen][-1] * ROWS_HZ) + 1) / ROWS_HZ
    return np.stack([np.interp(rows_s, times_s[seen], column) for column in lips[seen].T], 1)


def find_sync(
    predicted: np.ndarray, times_s: np.ndarray, lips: np.ndarray, around_s: float | None = None
) -> Sync | None:
    """The lag at which measured lips agree best with predicted ones; None where nothing can be measured.

    Args:
        predicted: opening and width [N, 2] at 100 rows per second, for example ``LipTrack.values[:, :2]``.
        times_s: times of the frames [T], s.
        lips: measured opening and width [T, 2] in any unit; NaN without a face.
        around_s: largest lag considered; None for ``SEARCH_S``.
    """
    measured = at_rows(times_s, lips)
    if measured is None:
        return None
    first = int(np.ceil(times_s[np.isfinite(lips).all(1)][0] * ROWS_HZ))  # at_rows repeats the first lips before it
    measured = measured[first:]
    if (measured.std(0) < 1e-6).any() or (predicted.std(0) < 1e-9).any():
        return None
    widest, half = round(SEARCH_S * ROWS_HZ), round(NATURAL_S * ROWS_HZ)
    shifts = np.arange(-widest, widest + 1, 2)
    curves = np.array([_agreement(predicted, measured, first, int(shift)) for shift in shifts])  # [shifts, 2]
    score = curves.mean(1)
    allowed = np.abs(shifts) <= (widest if around_s is None else round(around_s * ROWS_HZ))
    if not np.isfinite(score[allowed]).any():
        return None
    best = int(np.nanargmax(np.where(allowed, score, np.nan)))
    wrong = []  # best agreements in ranges as wide as the natural one, away from the best lag
    for centre in range(-widest + half, widest - half + 1, 4):
        within = score[np.abs(shifts - centre) <= half]
        if abs(centre - shifts[best]) > 2 * half and np.isfinite(within).any():
            wrong.append(float(np.nanmax(within)))
    return Sync(
        lag_s=float(shifts[best]) / ROWS_HZ,
        r=float(score[best]),
        r_opening=float(curves[best, 0]),
        r_width=float(curves[best, 1]),
        chance_r=float(np.mean(wrong)) if wrong else 0.0,
        rank=float(np.mean([value >= score[best] for value in wrong])) if wrong else 1.0,
    )


def _agreement(predicted: np.ndarray, measured: np.ndarray, first: int, shift: int) -> np.ndarray:
    """Correlations [2] of lips, beginning at row ``first``, with the prediction ``shift`` rows later; NaN if short."""
    late, early = max(first + shift, 0), max(-first - shift, 0)
    count = min(len(predicted) - late, len(measured) - early)
    if count < SHORTEST_S * ROWS_HZ:
        return np.full(2, np.nan)
    a, b = predicted[late : late + count], measured[early : early + count]

    def covariance(first: np.ndarray, second: np.ndarray) -> np.ndarray:  # without copies of an hour of lips
        return np.asarray(np.einsum("nc,nc->c", first, second) / count - first.mean(0) * second.mean(0))

    spread = np.sqrt(np.maximum(covariance(a, a) * covariance(b, b), 0))
    return np.asarray(covariance(a, b) / (spread + 1e-9))
