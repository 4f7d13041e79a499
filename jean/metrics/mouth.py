"""Correlation and delay of the mouth opening: a lip metric that needs no weights.

It measures how far the mouth is open, not phonemes, so it does not replace LSE.
"""

from __future__ import annotations

import numpy as np

from jean.drivers.slow import parted_mouth
from jean.landmarks import mouth_opening
from jean.metrics.base import (
    SEPARATE_EXPRESSION,
    Column,
    FramePair,
    Metric,
    MetricContext,
    MetricOptions,
    Scores,
)

# Largest delay considered; lips that differ by more belong to another utterance.
MAX_LAG_S = 0.4
# Correlations over fewer frames are meaningless.
MIN_FRAMES = 5


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two tracks [T] over the frames where both are finite.

    Returns:
        −1 to 1; NaN for fewer than ``MIN_FRAMES`` common frames or a constant track.

    >>> round(correlation(np.arange(5.0), np.arange(5.0) ** 2), 3)
    0.959
    """
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < MIN_FRAMES:
        return float("nan")
    x, y = a[known] - a[known].mean(), b[known] - b[known].mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    # rounding errors of a constant track are about 1e-16 of its size
    return float(x @ y) / scale if scale > 1e-12 * known.sum() else float("nan")


def best_lag(track: np.ndarray, reference: np.ndarray, max_lag: int) -> tuple[int, float]:
    """Delay of ``track`` behind ``reference`` that maximises their correlation.

    Args:
        track, reference: [T].
        max_lag: largest delay in frames; limited to a quarter of the track.

    Returns:
        (delay in frames, correlation). Positive: the track is late. Ties go to the smaller delay.
    """
    # short overlaps correlate by chance: at least three quarters of the tracks must overlap
    max_lag = min(max_lag, len(track) // 4)
    best = (0, correlation(track, reference))
    for lag in sorted(range(-max_lag, max_lag + 1), key=abs):
        late, early = (track[lag:], reference[: len(reference) - lag]) if lag >= 0 else (track[:lag], reference[-lag:])
        value = correlation(late, early)
        if np.isfinite(value) and not value <= best[1]:
            best = (lag, value)
    return best


class MouthAgreement(Metric):
    """Correlation and delay of the mouth opening against the reference."""

    name = "mouth"
    needs_pictures = False
    version = "1"
    columns = (
        Column(
            "mouth_correlation",
            "Mouth",
            "higher",
            3,
            "Correlation of the opening of the inner lips with the reference.",
        ),
        Column("mouth_lag_s", "Mouth delay", None, 2, "Delay at which the openings agree best, s; positive if late."),
    )

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self._result: list[float] = []
        self._reference: list[float] = []

    def update(self, pair: FramePair) -> None:
        """Adds the mouth opening of both frames; NaN without a face."""
        assert pair.reference is not None
        for track, frame in ((self._result, pair.result), (self._reference, pair.reference)):
            track.append(float("nan") if frame.face is None else float(mouth_opening(frame.face.landmarks)))

    def result(self) -> Scores:
        """The correlation without a shift, and the best delay."""
        reference = np.array(self._reference)
        if not self.context.result_is_tracked:
            unknown = {"mouth_correlation": float("nan"), "mouth_lag_s": float("nan")}
            notes = ("Mouth agreement needs a tracker on the result.",)
            return Scores(unknown, {"mouth_opening_reference": reference}, notes)
        result = np.array(self._result)
        lag, best_correlation = best_lag(result, reference, round(MAX_LAG_S * self.context.fps))
        values = {
            "mouth_correlation": correlation(result, reference),
            "mouth_lag_s": lag / self.context.fps if np.isfinite(best_correlation) else float("nan"),
        }
        return Scores(values, {"mouth_opening": result, "mouth_opening_reference": reference})


class OtherMouth(Metric):
    """Whether the mouth of the expression source shows in the result, whose mouth should follow the speech.

    Only the quick part of the openings is compared: a smile that lasts belongs to the expression.
    """

    name = "other_mouth"
    version = "1"
    role = SEPARATE_EXPRESSION
    columns = (
        Column(
            "other_mouth_correlation",
            "Other mouth",
            "lower",
            3,
            "Correlation of the quick part of the mouth opening with that of the expression source.",
        ),
    )

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self._result: list[float] = []
        self._other: list[float] = []

    def update(self, pair: FramePair) -> None:
        """Adds the mouth opening of both frames; NaN without a face."""
        assert pair.reference is not None
        for track, frame in ((self._result, pair.result), (self._other, pair.reference)):
            track.append(float("nan") if frame.face is None else float(mouth_opening(frame.face.landmarks)))

    def result(self) -> Scores:
        """The correlation over frames with a face in both videos."""
        if not self.context.result_is_tracked:
            return Scores({"other_mouth_correlation": float("nan")}, {}, ("The other mouth needs a tracker.",))
        quick = [_quick(np.array(track), self.context.fps) for track in (self._result, self._other)]
        return Scores({"other_mouth_correlation": correlation(*quick)})


def _quick(track: np.ndarray, fps: float) -> np.ndarray:
    """A track [T] without its held part; NaN where it is unknown."""
    known = np.isfinite(track)
    if not known.any():
        return track
    filled = np.interp(np.arange(len(track)), np.flatnonzero(known), track[known])
    return np.where(known, parted_mouth(filled[:, None], fps)[0][:, 0], np.nan)
