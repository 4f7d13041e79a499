"""The style of a person's lips: range, rest and shape, measured on the person, and applied to the lip prior.

The prior says how lips move with a sound, for any speaker. The person's own lips say how far they open and how the
mouth looks then. The person's few seconds of speech are not used for the relation of sound and lips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from jean.clips.clip import Clip
from jean.drivers.face_points import rigid_offsets
from jean.drivers.lip_response import LipResponse
from jean.lips.parameters import OPENING, WIDTH, opening_and_width
from jean.lips.prior import QUANTILES, LipTrack
from jean.lips.spectrum import ROWS_HZ

TRUSTED_S = 1.0  # of speech after which a sound's own range counts as much as the prior's general one
BEYOND = 0.25  # of the person's range by which lips may exceed it, before the support limit
SEEN = 0.1  # of the range by which lips may exceed it and still look as learned
REST = QUANTILES.index(0.1)  # the opening at rest; articulation scales the distance to it
MIDDLE = QUANTILES.index(0.5)  # the width at rest
USUAL = [QUANTILES.index(0.25), QUANTILES.index(0.75)]  # the range of the width of lips that p, b and m close
RIDGE = 1e-4
STYLE_FEATURES = len(QUANTILES) + 2  # see ``_features``


def clip_lips(clip: Clip) -> np.ndarray:
    """Opening and width of the lips in the frontal view of a clip, [T, 2], cm; NaN in frames without a face."""
    return opening_and_width(clip.arrays["shape"][:, :2] + rigid_offsets(clip, slice(0, 68)))


@dataclass(frozen=True)
class LipStyle:
    """How one person's lips look.

    Attributes:
        quantiles: opening and width at ``QUANTILES`` while the person speaks, [2, K], cm.
        coefficients: regression of the lip coordinates on ``_features`` of opening and width, [K + 2, W].
    """

    quantiles: np.ndarray
    coefficients: np.ndarray

    @classmethod
    def fit(cls, lips: np.ndarray, coordinates: np.ndarray, speaking: np.ndarray | None = None) -> LipStyle:
        """The style of measured lips.

        Args:
            lips: opening and width [T, 2], cm.
            coordinates: the head's lip coordinates [T, W] of the same frames.
            speaking: frames in which the person speaks, bool [T]; None where that is not known.
        """
        talking = lips if speaking is None or speaking.sum() < 10 else lips[speaking]
        quantiles = np.quantile(talking, QUANTILES, axis=0).T
        features = _features(lips, quantiles)
        normal = features.T @ features + RIDGE * len(lips) * np.eye(features.shape[1])
        return cls(quantiles, np.linalg.solve(normal, features.T @ coordinates))

    def lips(
        self,
        track: LipTrack,
        times_s: np.ndarray,
        articulation: float = 1.0,
        gate: np.ndarray | None = None,
        response: LipResponse | None = None,
    ) -> np.ndarray:
        """Opening and width [T, 2], cm, to ask this person's head for, so that its lips follow a sound.

        Args:
            track: the prior's lips for the sound.
            times_s: times of the frames [T], s.
            articulation: factor on the distance of opening and width from rest; below 1, p, b and m close less.
            gate: weight of the speech per frame [T] in [0, 1]; where it is 0, the lips are closed. None for 1.
            response: how the head's lips respond; None where that was not measured.
        """
        lips = self.retarget(track).at(times_s)
        rest = np.array([self.quantiles[OPENING, REST], self.quantiles[WIDTH, MIDDLE]])
        lips = rest + articulation * (lips - rest)
        closed = np.broadcast_to([self.quantiles[OPENING, 0], self.quantiles[WIDTH, MIDDLE]], lips.shape).copy()
        if gate is not None:
            lips = closed + gate[:, None] * (lips - closed)
        closing = min(articulation, 1.0) * track.closing_at(times_s)[:, None]
        # few frames of a person show closed lips that are wide or narrow
        closed[:, WIDTH] = np.clip(lips[:, WIDTH], *self.quantiles[WIDTH, USUAL])
        lips = np.maximum(lips + closing * (closed - lips), 0.0)
        return lips if response is None else response.ask_for(lips)

    def seen(self, lips: np.ndarray) -> np.ndarray:
        """The nearest lips [T, 2], cm, that look as the person has shown."""
        low, high = self.quantiles[:, 0], self.quantiles[:, -1]
        return np.clip(lips, low - SEEN * (high - low), high + SEEN * (high - low))

    def coordinates(self, lips: np.ndarray) -> np.ndarray:
        """Lip coordinates [T, W] of opening and width [T, 2], cm."""
        return _features(lips, self.quantiles) @ self.coefficients

    def retarget(self, track: LipTrack) -> LipTrack:
        """Opening and width of this person, cm, with the prior's course over time: a track of two columns.

        The range of the sound's prediction is mapped to the person's range, monotonically and piecewise linearly. A
        long sound is compared with its own range, a short one with that of general speech.
        """
        own_s = track.speaking.sum() / ROWS_HZ
        own_weight = own_s / (own_s + TRUSTED_S)
        columns = []
        for k in (OPENING, WIDTH):
            knots = track.quantiles[k].astype(float)
            if track.speaking.any():
                knots = (1 - own_weight) * knots + own_weight * np.quantile(track.values[track.speaking, k], QUANTILES)
            columns.append(_monotone_map(track.values[:, k], knots, self.quantiles[k]))
        return LipTrack(np.stack(columns, 1), track.speaking, self.quantiles, track.closing)

    def arrays(self) -> dict[str, np.ndarray]:
        """The attributes by name, to be stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> LipStyle:
        """The inverse of ``arrays``."""
        return cls(**{field.name: np.asarray(arrays[field.name], np.float64) for field in fields(cls)})


def _features(lips: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Features [T, K + 2] of opening and width [T, 2]: a linear spline of the opening, the width, and their product.

    The spline has its knots at the quantiles, so that the shape of closed lips comes from frames with closed lips.
    """
    knots = _increasing(quantiles[OPENING])
    opening = np.maximum(lips[:, OPENING], knots[0])  # closed lips cannot close further
    segment = np.clip(np.searchsorted(knots, opening) - 1, 0, len(knots) - 2)  # the last one extends to infinity
    fraction = (opening - knots[segment]) / (knots[segment + 1] - knots[segment])
    spline, rows = np.zeros((len(lips), len(knots))), np.arange(len(lips))
    spline[rows, segment], spline[rows, segment + 1] = 1 - fraction, fraction
    width = (lips[:, WIDTH] - quantiles[WIDTH, MIDDLE]) / max(np.ptp(quantiles[WIDTH]), 1e-3)
    return np.column_stack([spline, width, width * (opening - knots[MIDDLE]) / np.ptp(knots)])


def _increasing(knots: np.ndarray) -> np.ndarray:
    """Knots [K] with a distance of at least a thousandth."""
    steps = 1e-3 * np.arange(len(knots))
    return np.maximum.accumulate(knots - steps) + steps


def _monotone_map(values: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Maps values [N] so that the knots ``source`` [K] become ``target`` [K], exceeded by ``BEYOND`` at most."""
    source = _increasing(source)
    slope = (target[-1] - target[0]) / max(source[-1] - source[0], 1e-6)
    mapped = np.interp(values, source, target)
    mapped += slope * (np.minimum(values - source[0], 0) + np.maximum(values - source[-1], 0))
    beyond = BEYOND * (target[-1] - target[0])
    return np.clip(mapped, target[0] - beyond, target[-1] + beyond)
