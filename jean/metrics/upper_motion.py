"""Face dynamics deviation of brows, eyes and nose: whether the upper face moves as much as the reference's."""

from __future__ import annotations

import numpy as np

from jean.metrics.aligned import LandmarkTracks
from jean.metrics.base import Column, Scores

UPPER = slice(17, 48)


def dynamics_deviation(points: np.ndarray, reference: np.ndarray) -> float:
    """Mean over points of sd(‖x - template‖²) of the reference minus that of the result; the template is the mean.

    Positive: the result moves too little. Published figures differ in the sign, and in whether they square.

    Args:
        points, reference: [T, P, 2 or 3].

    Example:
        >>> still, moving = np.zeros((2, 1, 2)), np.array([[[0.0, 0.0]], [[0.0, 0.0]]])
        >>> dynamics_deviation(still, np.array([[[0.0, 1.0]], [[0.0, -1.0]], [[0.0, 0.0]], [[0.0, 0.0]]]))
        0.5
    """

    def spread(track: np.ndarray) -> np.ndarray:
        return np.asarray(np.square(track - track.mean(0)).sum(-1).std(0))

    return float((spread(reference) - spread(points)).mean())


class UpperMotion(LandmarkTracks):
    """FDD of the upper face, signed and absolute."""

    name = "upper_motion"
    version = "1"
    columns = (
        Column("fdd_cm2", "FDD", None, 4, "Spread of the reference's upper face minus the result's, cm²; signed."),
        Column("abs_fdd_cm2", "|FDD|", "lower", 4, "The same without its sign."),
    )

    def result(self) -> Scores:
        """The deviation over frames with both faces."""
        motions = self.motions()
        if motions is None:
            notes = ("Upper motion needs a tracker on the result, and faces in both videos.",)
            return Scores({"fdd_cm2": float("nan"), "abs_fdd_cm2": float("nan")}, notes=notes)
        value = dynamics_deviation(motions[0][:, UPPER], motions[1][:, UPPER])
        return Scores({"fdd_cm2": value, "abs_fdd_cm2": abs(value)})
