"""The depth of mouth and chin, by their sideways motion when the head turns.

Landmarks are flat: a chin that lies deeper than the rigid shape says, or that moves back as the jaw opens, seems to
move sideways when the head turns. The sound cannot tell this motion, so it would spoil what speech decides. The depth
of each point is d(t) = d_0 + Σ_k d_k q_k(t), q being the main motions of the mouth that turns leave alone: heights, and
distances of opposite points. It is fitted by least squares to the horizontal offsets, and taken out of them. Vertical
ones are left as they are, since nods go with the vertical motion of the jaw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jean.clips.clip import Clip
from jean.drivers.face_points import depth_offsets, rigid_offsets

LOWER_POINTS = np.array([*range(48, 68), 7, 8, 9])  # mouth and chin
# the place in LOWER_POINTS of the point on the other side of the face
_OPPOSITE = np.array([6, 5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 16, 15, 14, 13, 12, 19, 18, 17, 22, 21, 20])
_MOTIONS = 3  # main motions of the mouth
_SMALLEST = 0.1  # variance of a small motion that counts as one, relative to the first's
# Variance of 10 dependent frames over that expected of the depth, cm²: 0.15² · 10 / 0.4² at rest, and / 0.2² per motion
_RIDGE = np.array([1.5, 6.0, 6.0, 6.0])


@dataclass(frozen=True)
class MouthDepth:
    """Depth of ``LOWER_POINTS`` behind the rigid shape.

    Attributes:
        mean: of the mouth's heights and widths, [46].
        axes: main motions, [46, 3]; the first has unit variance.
        depth: at rest and per motion [4, 23], cm.
    """

    mean: np.ndarray
    axes: np.ndarray
    depth: np.ndarray

    @classmethod
    def fit(cls, clips: Sequence[Clip]) -> MouthDepth:
        """The depth of one person's mouth.

        Deviations are from the mean of each clip: what an emotion changes for good has no part in it.

        Args:
            clips: all clips of the person.
        """
        seen = [rigid_offsets(clip, slice(0, 68))[:, LOWER_POINTS] for clip in clips]
        known = [np.isfinite(offsets).all((1, 2)) for offsets in seen]
        shapes = np.concatenate([_even(o[k]) for o, k in zip(seen, known, strict=True)])
        if not len(shapes):
            return cls(np.zeros(46), np.zeros((46, _MOTIONS)), np.zeros((1 + _MOTIONS, len(LOWER_POINTS))))
        mean = shapes.mean(0)
        values, vectors = np.linalg.eigh(np.cov(shapes.T, ddof=0))
        axes = vectors[:, ::-1][:, :_MOTIONS] / np.sqrt(
            np.maximum(values[::-1][:_MOTIONS], _SMALLEST * values[-1] + 1e-9)
        )
        flat = cls(mean, axes, np.zeros((1 + _MOTIONS, len(LOWER_POINTS))))
        normal, right = np.zeros((len(LOWER_POINTS), 4, 4)), np.zeros((len(LOWER_POINTS), 4))
        for clip, offsets, there in zip(clips, seen, known, strict=True):
            if there.any():
                slopes = depth_offsets(clip, LOWER_POINTS)[there, :, :1]
                inputs = (slopes - slopes.mean(0)) * flat._inputs(offsets[there])[:, None]  # [T, P, 4]
                across = offsets[there, :, 0] - offsets[there, :, 0].mean(0)
                normal += np.einsum("tpi,tpj->pij", inputs, inputs)
                right += np.einsum("tpi,tp->pi", inputs, across)
        depth = np.linalg.solve(normal + np.diag(_RIDGE), right[..., None])[..., 0]
        return cls(mean, axes, depth.T)

    def _inputs(self, lower: np.ndarray) -> np.ndarray:
        """One and the motions [T, 4] of offsets of ``LOWER_POINTS`` [T, 23, 2]."""
        return np.concatenate([np.ones((len(lower), 1)), (_even(lower) - self.mean) @ self.axes], 1)

    def flatten(self, clip: Clip) -> np.ndarray:
        """Offsets of all landmarks from the rigid head [T, 68, 2], cm, without what depth adds sideways to mouths."""
        offsets = rigid_offsets(clip, slice(0, 68))
        depth = self._inputs(offsets[:, LOWER_POINTS]) @ self.depth
        offsets[:, LOWER_POINTS, 0] -= depth_offsets(clip, LOWER_POINTS)[..., 0] * depth
        return offsets


def _even(lower: np.ndarray) -> np.ndarray:
    """Heights and widths [T, 46] of offsets [T, 23, 2]: what a depth does not change when the head turns sideways."""
    return np.concatenate([lower[..., 1], (lower[..., 0] - lower[:, _OPPOSITE, 0]) / 2], 1)
