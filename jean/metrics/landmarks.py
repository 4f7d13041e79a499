"""Landmark distance (LMD) of the mouth and of all points, in inter-ocular distances."""

from __future__ import annotations

import numpy as np

from jean.landmarks import MOUTH, UPPER_FACE, inter_ocular
from jean.metrics.base import Column, FramePair, Metric, MetricContext, MetricOptions, Scores, mean_or_nan
from jean.metrics.framing import Framing


def landmark_distance(landmarks: np.ndarray, reference: np.ndarray, points: slice = slice(0, 68)) -> np.ndarray:
    """Mean distance between corresponding points, in inter-ocular distances of the reference.

    Args:
        landmarks, reference: [..., 68, 2] px, in the same image coordinates.
        points: which of the 68 points count.

    Returns:
        [...].
    """
    distance = np.linalg.norm(landmarks[..., points, :] - reference[..., points, :], axis=-1).mean(-1)
    return distance / inter_ocular(reference)


def align(landmarks: np.ndarray, reference: np.ndarray, points: slice = UPPER_FACE) -> np.ndarray:
    """Aligns ``landmarks`` to ``reference`` by the similarity transform that fits ``points`` best (least squares).

    This is Umeyama's closed form in the plane: rotation and scale are one complex factor, and reflections are excluded.

    Args:
        landmarks, reference: [68, 2] px.
        points: points to fit. By default brows, nose and eyes, which speech hardly moves, so that differences of the
            mouth remain.

    Returns:
        The transformed landmarks, [68, 2] px.
    """
    source = landmarks[:, 0] + 1j * landmarks[:, 1]
    target = reference[:, 0] + 1j * reference[:, 1]
    source_mean, target_mean = source[points].mean(), target[points].mean()
    centred = source[points] - source_mean
    factor = np.vdot(centred, target[points] - target_mean) / np.vdot(centred, centred)
    aligned = (source - source_mean) * factor + target_mean
    return np.stack([aligned.real, aligned.imag], axis=-1)


class LandmarkDistance(Metric):
    """Landmark distances, averaged over the frames with both faces."""

    name = "landmarks"
    needs_pictures = False
    version = "2"
    columns = (
        Column("lmd_all", "LMD all", "lower", 4, "All 68 points, same frame, in inter-ocular distances."),
        Column("lmd_mouth", "LMD mouth", "lower", 4, "The 20 mouth points, same frame, in inter-ocular distances."),
        Column(
            "lmd_mouth_aligned",
            "LMD mouth, aligned",
            "lower",
            4,
            "The 20 mouth points after aligning brows, eyes and nose: mouth shape without head pose.",
        ),
    )

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self._sums = {column.name: 0.0 for column in self.columns}
        self._count = 0
        self._framing = Framing()
        self._mouth: list[float] = []

    def update(self, pair: FramePair) -> None:
        """Adds the distances of one frame pair."""
        assert pair.reference is not None
        face, reference = pair.result.face, pair.reference.face
        if not self.context.result_is_tracked or face is None or reference is None:
            self._mouth.append(float("nan"))
            return
        self._framing.add(pair.result, pair.reference)
        # the two videos may differ in size: measure in pixels of the reference
        scale = np.array(pair.reference.image.shape[1::-1]) / np.array(pair.result.image.shape[1::-1])
        points, target = face.landmarks * scale, reference.landmarks
        mouth = float(landmark_distance(align(points, target), target, MOUTH))
        self._sums["lmd_all"] += float(landmark_distance(points, target))
        self._sums["lmd_mouth"] += float(landmark_distance(points, target, MOUTH))
        self._sums["lmd_mouth_aligned"] += mouth
        self._count += 1
        self._mouth.append(mouth)

    def result(self) -> Scores:
        """The means over frames with both faces; only shapes for videos that are framed differently."""
        tracked = self.context.result_is_tracked
        values = {key: mean_or_nan(total, self._count) for key, total in self._sums.items()}
        notes = [] if tracked else ["Landmark distances need a tracker on the result."]
        if problem := self._framing.problem():
            values |= {"lmd_all": float("nan"), "lmd_mouth": float("nan")}
            notes.append(problem)
        return Scores(values, {"lmd_mouth_aligned": np.array(self._mouth)}, tuple(notes))
