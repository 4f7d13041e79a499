"""Temporal jitter: how much the face trembles, as the acceleration of its stable landmarks."""

from __future__ import annotations

import numpy as np

from jean.landmarks import inter_ocular
from jean.metrics.base import Column, Compared, FramePair, PairContext, Scores, mean_or_nan

# Nose bridge and eye corners: they move with the head, hardly with speech or expression.
STABLE = (27, 28, 29, 30, 36, 39, 42, 45)


def jitter(landmarks: np.ndarray, fps: float) -> np.ndarray:
    """Mean size of the stable points' acceleration, [T − 2], in inter-ocular distances per s².

    The second difference x(t+1) − 2 x(t) + x(t−1) removes steady motion, so what is left is
    trembling and true acceleration alike: compare it with the reference's.

    Args:
        landmarks: [T, 68, 2] px; frames without a face are NaN and make their neighbours NaN.
        fps: frames a second.
    """
    points = landmarks[:, STABLE, :]
    acceleration = (points[2:] - 2 * points[1:-1] + points[:-2]) * fps**2
    return np.linalg.norm(acceleration, axis=-1).mean(-1) / inter_ocular(landmarks[1:-1])


class _Track:
    """Jitter of one video from its last three frames."""

    def __init__(self, fps: float):
        self._fps = fps
        self._last: list[np.ndarray] = []
        self.total = 0.0
        self.count = 0

    def add(self, landmarks: np.ndarray | None) -> None:
        self._last = [*self._last[-2:], np.full((68, 2), np.nan) if landmarks is None else landmarks]
        if len(self._last) == 3:
            value = float(jitter(np.stack(self._last), self._fps)[0])
            if np.isfinite(value):
                self.total += value
                self.count += 1

    def mean(self) -> float:
        return mean_or_nan(self.total, self.count)


class Jitter(Compared):
    """Jitter of the result, beside the reference's own."""

    name = "jitter"
    needs_partner = False
    version = "1"
    columns = (
        Column("jitter", "Jitter", "lower", 2, "Acceleration of nose and eye corners, inter-ocular distances per s²."),
        Column("jitter_reference", "Jitter, reference", None, 2, "The same of the reference: true motion counts too."),
    )

    def __init__(self, context: PairContext):
        self._tracked = context.tracker != "reference"
        self._ours, self._theirs = _Track(context.fps), _Track(context.fps)

    def update(self, pair: FramePair) -> None:
        """Adds one pair of frames."""
        for track, side in ((self._ours, pair.result), (self._theirs, pair.reference)):
            if side is not None:
                track.add(None if side.face is None else side.face.landmarks)

    def result(self) -> Scores:
        """The scores over all pairs."""
        ours = self._ours.mean() if self._tracked else float("nan")
        notes = () if self._tracked else ("Jitter needs a tracker on the result.",)
        return Scores({"jitter": ours, "jitter_reference": self._theirs.mean()}, notes=notes)
