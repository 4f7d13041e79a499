"""The support limit: keeps values within the range of the training.

A training covers a small region of driver values (expression vectors, lip coordinates, landmark offsets, poses).
Outside of it the field is undefined and the face breaks. Limiting each coefficient to an interval does not prevent
that, because the corners of the resulting box are too far out. ``Support`` measures the distance in whitened principal
components instead, and moves distant values along a straight line towards the training mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from jean.row_file import BLOCK, parts_in_blocks

QUANTILE = 0.95  # of the training frames lie within the radius
LARGEST = 1.2  # distance that limited values approach, in radii
# Radii within which the mean of a foreign source stays. Measured on nine pairs: with 0 a constant expression such as a
# frown is lost, with 0.8 eyes are torn in twice as many frames as with 0.3.
CONSTANT_ROOM = 0.4
SHARES = 20  # fractions that are tried


@dataclass(frozen=True)
class Support:
    """Region of the training values [D]: an ellipsoid along principal axes, and a ball for the residual.

    Attributes:
        mean: [D], mean of the training values.
        scale: [D], standard deviation of each value, not below the floor given to ``fit``.
        axes: [K, D], principal axes of the standardised values; K may be 0.
        axis_std: [K], standard deviation along each axis.
        radius: whitened norm up to which values are unchanged: the training values' 95th percentile, times a factor.
        residual_radius: the same for the norm of the residual, which the axes do not represent.
    """

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    axis_std: np.ndarray
    radius: float
    residual_radius: float

    @classmethod
    def fit(cls, values: np.ndarray, scale_floor: float, axis_floor: float = 0.15, room: float = 1.0) -> Support:
        """The support of training values [T, D].

        Args:
            values: one row per training frame.
            scale_floor: smallest scale, in the values' unit, so that noise of a constant value is no distance.
            axis_floor: axes with a smaller standard deviation (of standardised values) count as residual.
            room: factor on both radii.
        """
        blocks = [values[first : first + BLOCK] for first in range(0, len(values), BLOCK)]  # views: a clip may be long
        mean = sum(block.sum(0, dtype=np.float64) for block in blocks) / len(values)
        variance = sum(np.square(block - mean).sum(0) for block in blocks) / len(values)
        scale = np.maximum(np.sqrt(variance), scale_floor)
        triangle = np.zeros((0, len(mean)))  # R of the QR decomposition: it has the axes of all values
        for block in blocks:
            triangle = np.asarray(np.linalg.qr(np.vstack([triangle, (block - mean) / scale]), mode="r"))
        singular, axes = np.linalg.svd(triangle, full_matrices=False)[1:]
        axis_std = singular / np.sqrt(len(values))
        count = int((axis_std > axis_floor).sum())
        support = cls(mean, scale, axes[:count], axis_std[:count], 0.0, 0.0)
        radius, residual_radius = (
            float(np.quantile(norms, QUANTILE)) for norms in parts_in_blocks(support._norms, values)
        )
        return replace(support, radius=room * radius, residual_radius=room * residual_radius)

    def limit(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Limits values to the support.

        Values within the radius are unchanged. Beyond it, the distance approaches ``LARGEST`` radii. The map is smooth,
        so that a smooth track stays smooth.

        Args:
            values: [T, D].

        Returns:
            Limited values [T, D], and the remaining fraction [T] of their distance to the mean.
        """
        limited, remaining = parts_in_blocks(self._limit, values)
        return limited, remaining

    def _limit(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = np.asarray(values, np.float64)
        distance, residual = self._norms(values)
        factor, residual_factor = _shrink(distance, self.radius), _shrink(residual, self.residual_radius)
        standardised = (values - self.mean) / self.scale
        along = (standardised @ self.axes.T) @ self.axes
        limited = factor[:, None] * along + residual_factor[:, None] * (standardised - along)
        length = np.linalg.norm(standardised, axis=1)
        unchanged = (factor == 1) & (residual_factor == 1)
        remaining = np.where(unchanged, 1.0, np.linalg.norm(limited, axis=1) / np.maximum(length, 1e-12))
        return np.where(unchanged[:, None], values, limited * self.scale + self.mean), remaining

    def approach(self, values: np.ndarray) -> tuple[np.ndarray, float]:
        """Moves a foreign source's values so that their mean lies near the training mean.

        What is constant in a source is largely its own face at rest, which the tracker measures as an expression. Left
        as it is, it takes the room of the motion, and ``limit`` then reduces both. A mean within ``CONSTANT_ROOM``
        radii stays.

        Args:
            values: [T, D].

        Returns:
            Moved values [T, D], and the remaining fraction of the mean's distance.
        """
        values = np.asarray(values, np.float64)
        constant = values.mean(0)
        room = replace(self, radius=CONSTANT_ROOM * self.radius, residual_radius=CONSTANT_ROOM * self.residual_radius)
        near, remaining = room.limit(constant[None])
        return values + (near[0] - constant), float(remaining[0])

    def share_beside(self, values: np.ndarray, added: np.ndarray) -> float:
        """The largest fraction of slow values that leaves the motion of others as it is.

        ``limit`` shrinks a sum as a whole: a smile that alone needs all of the room would also keep the mouth from
        opening in speech. One fraction for all frames, so that it does not flicker with the speech.

        Args:
            values: [T, D], which keep their motion.
            added: [T, D], to be added to them.

        Returns:
            In [0, 1]: with it, at most a twentieth of the frames lies beyond ``LARGEST`` radii, or as much beyond
            where ``values`` alone reach.
        """
        bounds = [
            LARGEST * max(radius, np.quantile(norms, QUANTILE)) + 1e-9
            for radius, norms in zip((self.radius, self.residual_radius), self._norms(values), strict=True)
        ]
        for fraction in np.linspace(1.0, 0.0, SHARES, endpoint=False):
            norms = self._norms(values + fraction * added)
            if all(np.quantile(norm, QUANTILE) <= bound for norm, bound in zip(norms, bounds, strict=True)):
                return float(fraction)
        return 0.0

    def _norms(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whitened norm along the axes, and norm of the residual, both [T]."""
        standardised = (values - self.mean) / self.scale
        along = standardised @ self.axes.T
        residual = standardised - along @ self.axes
        return np.linalg.norm(along / self.axis_std, axis=1), np.linalg.norm(residual, axis=1)

    def arrays(self) -> dict[str, np.ndarray]:
        """The attributes by name, to be stored."""
        return {field.name: np.atleast_1d(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Support:
        """The inverse of ``arrays``."""
        values = {field.name: np.asarray(arrays[field.name], np.float64) for field in fields(cls)}
        radius, residual_radius = values["radius"].item(), values["residual_radius"].item()
        return cls(values["mean"], values["scale"], values["axes"], values["axis_std"], radius, residual_radius)


def _shrink(distance: np.ndarray, radius: float) -> np.ndarray:
    """Factors [T] in (0, 1] for distances [T]: 1 up to ``radius``, then a smooth approach to ``LARGEST`` radii."""
    if np.isinf(radius):
        return np.ones_like(distance)
    radius = max(radius, 1e-6)  # rounding errors do not count as distance
    beyond = (LARGEST - 1) * radius
    target = radius + beyond * np.tanh((distance - radius) / beyond)
    return np.where(distance > radius, target / np.maximum(distance, radius), 1.0)
