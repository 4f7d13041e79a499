"""Landmark distance (LMD): mouth and all points, as a share of the inter-ocular distance."""

from __future__ import annotations

import numpy as np

from jean.landmarks import MOUTH, UPPER_FACE, inter_ocular
from jean.metrics.base import Column, Compared, FramePair, PairContext, Scores, mean_or_nan


def landmark_distance(landmarks: np.ndarray, reference: np.ndarray, points: slice = slice(0, 68)) -> np.ndarray:
    """Mean distance of the points, [...], in inter-ocular distances of the reference.

    Args:
        landmarks, reference: [..., 68, 2] px of the same frame.
        points: which of the 68 count.
    """
    distance = np.linalg.norm(landmarks[..., points, :] - reference[..., points, :], axis=-1).mean(-1)
    return distance / inter_ocular(reference)


def align(landmarks: np.ndarray, reference: np.ndarray, points: slice = UPPER_FACE) -> np.ndarray:
    """``landmarks`` moved, turned and scaled onto ``reference`` by least squares over ``points``.

    Both are [68, 2] px. ``points`` are brows, nose and eyes unless told otherwise: speech hardly
    moves them, so the mouth stays free. Umeyama's closed form in the plane, where a rotation with a scale is one
    complex factor; mirroring is impossible.
    """
    source = landmarks[:, 0] + 1j * landmarks[:, 1]
    target = reference[:, 0] + 1j * reference[:, 1]
    source_mean, target_mean = source[points].mean(), target[points].mean()
    centred = source[points] - source_mean
    factor = np.vdot(centred, target[points] - target_mean) / np.vdot(centred, centred)
    moved = (source - source_mean) * factor + target_mean
    return np.stack([moved.real, moved.imag], axis=-1)


class LandmarkDistance(Compared):
    """Landmark distances, averaged over the frames in which both faces were found."""

    name = "landmarks"
    version = "1"
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

    def __init__(self, context: PairContext):
        self._tracked = context.tracker != "reference"
        self._sums = {column.name: 0.0 for column in self.columns}
        self._count = 0
        self._mouth: list[float] = []

    def update(self, pair: FramePair) -> None:
        """Adds one pair of frames."""
        assert pair.reference is not None
        ours, theirs = pair.result.face, pair.reference.face
        if not self._tracked or ours is None or theirs is None:
            self._mouth.append(float("nan"))
            return
        # pixels of the reference, whatever the result's size
        scale = np.array(pair.reference.image.shape[1::-1]) / np.array(pair.result.image.shape[1::-1])
        points, target = ours.landmarks * scale, theirs.landmarks
        mouth = float(landmark_distance(align(points, target), target, MOUTH))
        self._sums["lmd_all"] += float(landmark_distance(points, target))
        self._sums["lmd_mouth"] += float(landmark_distance(points, target, MOUTH))
        self._sums["lmd_mouth_aligned"] += mouth
        self._count += 1
        self._mouth.append(mouth)

    def result(self) -> Scores:
        """The scores over all pairs."""
        values = {key: mean_or_nan(total, self._count) for key, total in self._sums.items()}
        notes = () if self._tracked else ("Landmark distances need a tracker on the result.",)
        return Scores(values, {"lmd_mouth_aligned": np.array(self._mouth)}, notes)
