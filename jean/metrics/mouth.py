"""Mouth opening over time, and how far two mouths agree: a lip measure that needs no weights.

It sees open and closed, not phonemes: it is no replacement for LSE and never called so.
"""

from __future__ import annotations

import numpy as np

from jean.landmarks import mouth_opening
from jean.metrics.base import Column, Compared, FramePair, PairContext, Scores

# A shift is looked for this far to either side; lips and sound that differ by more are another utterance.
MAX_LAG_S = 0.4
# Fewer frames give no meaningful correlation.
MIN_FRAMES = 5


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two tracks [T] over the frames where both are known.

    Returns:
        −1 to 1; NaN for fewer than ``MIN_FRAMES`` frames or a track that does not move.
    """
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < MIN_FRAMES:
        return float("nan")
    x, y = a[known] - a[known].mean(), b[known] - b[known].mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    # rounding of a constant leaves about 1e-16 of its size
    return float(x @ y) / scale if scale > 1e-12 * known.sum() else float("nan")


def best_lag(track: np.ndarray, reference: np.ndarray, max_lag: int) -> tuple[int, float]:
    """The delay of ``track`` behind ``reference`` (frames) with the highest correlation, and that correlation.

    Positive: the track comes later. Ties go to the smaller shift.

    Args:
        track, reference: [T].
        max_lag: largest shift looked at, frames; less for tracks shorter than four times that.
    """
    # a short overlap correlates by chance: at least three quarters of the tracks must meet
    max_lag = min(max_lag, len(track) // 4)
    best = (0, correlation(track, reference))
    for lag in sorted(range(-max_lag, max_lag + 1), key=abs):
        late, early = (track[lag:], reference[: len(reference) - lag]) if lag >= 0 else (track[:lag], reference[-lag:])
        value = correlation(late, early)
        if np.isfinite(value) and not value <= best[1]:
            best = (lag, value)
    return best


class MouthAgreement(Compared):
    """Correlation and delay of the mouth's opening."""

    name = "mouth"
    version = "1"
    columns = (
        Column("mouth_correlation", "Mouth", "higher", 3, "Correlation of the inner lips' opening with the reference."),
        Column("mouth_lag_s", "Mouth delay", None, 2, "Shift at which the openings agree best; positive: too late, s."),
    )

    def __init__(self, context: PairContext):
        self._context = context
        self._ours: list[float] = []
        self._theirs: list[float] = []

    def update(self, pair: FramePair) -> None:
        """Adds one pair of frames."""
        assert pair.reference is not None
        for track, side in ((self._ours, pair.result), (self._theirs, pair.reference)):
            track.append(float("nan") if side.face is None else float(mouth_opening(side.face.landmarks)))

    def result(self) -> Scores:
        """The scores over all pairs."""
        theirs = np.array(self._theirs)
        if self._context.tracker == "reference":
            nan = float("nan")
            notes = ("Mouth agreement needs a tracker on the result.",)
            return Scores({"mouth_correlation": nan, "mouth_lag_s": nan}, {"mouth_opening_reference": theirs}, notes)
        ours = np.array(self._ours)
        lag, at_best = best_lag(ours, theirs, round(MAX_LAG_S * self._context.fps))
        values = {
            "mouth_correlation": correlation(ours, theirs),
            "mouth_lag_s": lag / self._context.fps if np.isfinite(at_best) else float("nan"),
        }
        return Scores(values, {"mouth_opening": ours, "mouth_opening_reference": theirs})
