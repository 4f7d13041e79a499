"""Temporal jitter: acceleration of landmarks that speech and expression hardly move."""

from __future__ import annotations

import numpy as np

from jean.landmarks import inter_ocular
from jean.metrics.base import Column, FramePair, Metric, MetricContext, MetricOptions, Scores, mean_or_nan

# Nose bridge and eye corners of the 68 landmarks.
STABLE = (27, 28, 29, 30, 36, 39, 42, 45)


def jitter(landmarks: np.ndarray, fps: float) -> np.ndarray:
    """Mean acceleration of the stable points, in inter-ocular distances per s².

    The second difference x(t+1) − 2 x(t) + x(t−1) removes uniform motion. It contains both trembling and real
    acceleration, so compare it with the reference's.

    Args:
        landmarks: [T, 68, 2] px; a frame without a face is NaN and makes its neighbours NaN.
        fps: frames per second.

    Returns:
        [T − 2].
    """
    points = landmarks[:, STABLE, :]
    acceleration = (points[2:] - 2 * points[1:-1] + points[:-2]) * fps**2
    return np.linalg.norm(acceleration, axis=-1).mean(-1) / inter_ocular(landmarks[1:-1])


class _RunningJitter:
    """Mean jitter of one video; keeps the last three frames."""

    def __init__(self, fps: float):
        self._fps = fps
        self._last: list[np.ndarray] = []
        self._total = 0.0
        self._count = 0

    def add(self, landmarks: np.ndarray | None) -> None:
        """Adds one frame; None if it has no face."""
        self._last = [*self._last[-2:], np.full((68, 2), np.nan) if landmarks is None else landmarks]
        if len(self._last) == 3:
            value = float(jitter(np.stack(self._last), self._fps)[0])
            if np.isfinite(value):
                self._total += value
                self._count += 1

    def mean(self) -> float:
        """The mean over all triples of frames with a face; NaN if there are none."""
        return mean_or_nan(self._total, self._count)


class Jitter(Metric):
    """Jitter of the result and of the reference."""

    name = "jitter"
    needs_partner = False
    needs_pictures = False
    version = "1"
    columns = (
        Column("jitter", "Jitter", "lower", 2, "Acceleration of nose and eye corners, inter-ocular distances per s²."),
        Column(
            "jitter_reference", "Jitter, reference", None, 2, "Jitter of the reference, which includes real motion."
        ),
    )

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self._result, self._reference = _RunningJitter(context.fps), _RunningJitter(context.fps)

    def update(self, pair: FramePair) -> None:
        """Adds the landmarks of both frames."""
        for track, frame in ((self._result, pair.result), (self._reference, pair.reference)):
            if frame is not None:
                track.add(None if frame.face is None else frame.face.landmarks)

    def result(self) -> Scores:
        """The mean jitter of each video."""
        tracked = self.context.result_is_tracked
        value = self._result.mean() if tracked else float("nan")
        notes = () if tracked else ("Jitter needs a tracker on the result.",)
        return Scores({"jitter": value, "jitter_reference": self._reference.mean()}, notes=notes)
