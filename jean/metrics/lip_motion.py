"""Lip vertex error, and how much of the reference's mouth movement the result explains."""

from __future__ import annotations

import numpy as np

from jean.landmarks import MOUTH, mouth_opening
from jean.metrics.aligned import LandmarkTracks
from jean.metrics.base import Column, Scores
from jean.metrics.mouth import correlation


def lip_vertex_error(lips: np.ndarray, reference: np.ndarray) -> float:
    """Mean over frames of the largest squared distance among lip points.

    Args:
        lips, reference: [T, P, 2 or 3].

    Returns:
        In the square of the points' unit.

    Example:
        >>> zeros = np.zeros((2, 3, 2))
        >>> moved = zeros.copy()
        >>> moved[0, 1] = [3, 4]
        >>> lip_vertex_error(moved, zeros)
        12.5
    """
    return float(np.square(lips - reference).sum(-1).max(-1).mean())


class LipMotion(LandmarkTracks):
    """Movement of the lips about their mean, compared with the reference's."""

    name = "lip_motion"
    version = "1"
    columns = (
        Column("lve_cm2", "LVE", "lower", 3, "Mean of the largest squared error of a lip point about its mean, cm²."),
        Column("mouth_r2", "Mouth R²", "higher", 2, "Fraction of the movement of the mouth's points that is right."),
        Column("opening_corr", "Opening", "higher", 2, "Correlation of the opening of the inner lips."),
    )

    def result(self) -> Scores:
        """The scores over frames with both faces."""
        motions = self.motions()
        if motions is None:
            notes = ("Lip motion needs a tracker on the result, and faces in both videos.",)
            return Scores(dict.fromkeys((column.name for column in self.columns), float("nan")), notes=notes)
        result, reference = (points[:, MOUTH] - points[:, MOUTH].mean(0) for points in motions)
        error, spread = np.square(result - reference).sum(), np.square(reference).sum()
        openings = [mouth_opening(points) for points in motions]
        return Scores(
            {
                "lve_cm2": lip_vertex_error(result, reference),
                "mouth_r2": float(1 - error / spread) if spread > 0 else float("nan"),
                "opening_corr": correlation(openings[0], openings[1]),
            }
        )
