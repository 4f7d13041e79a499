"""Lip sync without a download: measured lips against the lip prior's prediction for the sound.

This is no LSE. The prior predicts opening and width of the lips from the speech; the metric is their correlation with
the lips of the result, at the best lag. A renderer that takes its lips from the same prior is favoured: compare such
results by LSE, or by ``lips`` against a recording of the speaker.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jean.files import sha256
from jean.landmarks import COUNT
from jean.lips.parameters import OPENING, WIDTH, measured_lips
from jean.lips.prior import BUILTIN, load_prior
from jean.lips.sync import NATURAL_S, at_rows, find_sync
from jean.media import RATE_HZ, read_audio
from jean.metrics.base import Column, FramePair, Metric, MetricContext, MetricOptions, Scores
from jean.metrics.lip_sync.sound import sound_digest

_NAN = float("nan")


class _LipMetric(Metric):
    """Base of metrics on the lips of the result over time."""

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self._times: list[float] = []
        self._result: list[np.ndarray] = []

    def update(self, pair: FramePair) -> None:
        """Adds the landmarks of one frame."""
        self._times.append(pair.time_s)
        self._result.append(_landmarks(pair.result.face))

    def _lips(self) -> tuple[np.ndarray, np.ndarray]:
        """Times [T] and lips [T, 2] of the result."""
        return np.array(self._times), measured_lips(np.array(self._result).reshape(-1, COUNT, 2))


class PriorSync(_LipMetric):
    """Agreement of the lips with the lip prior's prediction for the sound."""

    name = "prior_sync"
    version = "2"
    role = None
    needs_partner = False
    uses_torch = True
    columns = (
        Column("prior_sync_r", "Prior sync", "higher", 3, "Correlation of opening and width with the lip prior's."),
        Column("prior_sync_chance_r", "Chance", None, 3, "The same at wrong lags: what unrelated speech would reach."),
        Column(
            "prior_sync_lag_s", "Prior lag", None, 2, "Delay of the sound at the best lag, s; lips lead by 0 to 0.12."
        ),
    )

    @classmethod
    def facts(cls, context: MetricContext, options: Any) -> dict[str, Any]:
        """The prior, the tracker and the sounds."""
        return {
            "prior": sha256(BUILTIN),
            "tracker": [context.tracker, context.tracker_version],
            "sounds": [[sound_digest(sound), sound.start_s] for sound in context.sounds],
        }

    def result(self) -> Scores:
        """Scores against the sound; the mean over several test sounds."""
        unknown = {column.name: _NAN for column in self.columns}
        if not self.context.result_is_tracked:
            return Scores(unknown, notes=("Prior sync needs a tracker on the result.",))
        if not self.context.sounds:
            return Scores(unknown, notes=("Prior sync: no sound; give --audio-source.",))
        times, lips = self._lips()
        prior, found = load_prior(), []
        for sound in self.context.sounds:
            wave = read_audio(sound.path)[round(sound.start_s * RATE_HZ) :]
            sync = find_sync(prior.track(wave).values[:, [OPENING, WIDTH]], times, lips)
            if sync is not None:
                found.append((sync.r, sync.chance_r, sync.lag_s))
        if not found:
            return Scores(unknown, notes=("Prior sync: less than a second of moving lips with sound.",))
        r, chance, lag = np.mean(found, 0)
        lag = lag if len(found) == 1 else _NAN
        values = {"prior_sync_r": float(r), "prior_sync_chance_r": float(chance), "prior_sync_lag_s": float(lag)}
        return Scores(values)


class LipAgreement(_LipMetric):
    """How well the lips follow those of a recording with the same speech, for example of the speaker who was dubbed."""

    name = "lips"
    version = "1"
    columns = (
        Column("lips_opening_r", "Lips open", "higher", 3, "Correlation of the lips' opening, best lag within 0.12 s."),
        Column("lips_width_r", "Lips width", "higher", 3, "Correlation of the lips' width at the same lag."),
        Column("lips_chance_r", "Chance", None, 3, "Mean of both correlations at wrong lags."),
        Column("lips_opening_std", "Opening ratio", None, 2, "Standard deviation of the opening over the reference's."),
    )

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self._reference: list[np.ndarray] = []

    def update(self, pair: FramePair) -> None:
        """Adds the landmarks of both frames."""
        super().update(pair)
        self._reference.append(_landmarks(None if pair.reference is None else pair.reference.face))

    def result(self) -> Scores:
        """Scores against the reference."""
        unknown = {column.name: _NAN for column in self.columns}
        if not self.context.result_is_tracked:
            return Scores(unknown, notes=("Lip agreement needs a tracker on the result.",))
        times, lips = self._lips()
        reference = measured_lips(np.array(self._reference).reshape(-1, COUNT, 2))
        rows = at_rows(times, reference)
        sync = None if rows is None else find_sync(rows, times, lips, around_s=NATURAL_S)
        if sync is None:
            return Scores(unknown, notes=("Lip agreement: less than a second of moving lips in both videos.",))
        ratio = float(np.nanstd(lips[:, OPENING]) / np.nanstd(reference[:, OPENING]))
        values = (sync.r_opening, sync.r_width, sync.chance_r, ratio)
        return Scores({column.name: value for column, value in zip(self.columns, values, strict=True)})


def _landmarks(face: Any) -> np.ndarray:
    return np.full((COUNT, 2), np.nan) if face is None else np.asarray(face.landmarks, float)[:, :2]
