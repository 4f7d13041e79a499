"""Landmarks without roll, place and size of the face, for metrics of the face's own movement."""

from __future__ import annotations

import numpy as np

from jean.landmarks import INTER_OCULAR_CM, LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from jean.metrics.base import FramePair, Metric, MetricContext, MetricOptions


def aligned_cm(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks [T, 68, 2], cm, with the outer eye corners level and their middle at the origin.

    The scale is that of the median distance of the corners over the video. Foreshortening of a turned head remains.

    Args:
        landmarks: [T, 68, 2] px; NaN in frames without a face.

    Example:
        >>> landmarks = np.zeros((1, 68, 2))
        >>> landmarks[0, [36, 45]] = [[10, 10], [10, 20]]
        >>> landmarks[0, 8] = [5, 15]
        >>> aligned_cm(landmarks)[0, 8].round(2).tolist()
        [0.0, 4.44]
    """
    right, left = landmarks[:, RIGHT_EYE_OUTER], landmarks[:, LEFT_EYE_OUTER]
    across = left - right
    width = np.linalg.norm(across, axis=1)
    scale = np.nanmedian(width) if np.isfinite(width).any() else np.nan
    x_axis = across / np.maximum(width, 1e-9)[:, None]
    axes = np.stack([x_axis, np.stack([-x_axis[:, 1], x_axis[:, 0]], 1)], 1)
    centred = landmarks - ((right + left) / 2)[:, None]
    return np.asarray(np.einsum("tij,tpj->tpi", axes, centred) * INTER_OCULAR_CM / scale)


class LandmarkTracks(Metric):
    """Base of metrics that read the landmarks of both videos after the last frame.

    Attributes:
        result_landmarks, reference_landmarks: a list of [68, 2], px, NaN without a face; empty without a video.
    """

    needs_pictures = False

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self.result_landmarks: list[np.ndarray] = []
        self.reference_landmarks: list[np.ndarray] = []

    def update(self, pair: FramePair) -> None:
        """Adds the landmarks of both frames."""
        for track, frame in ((self.result_landmarks, pair.result), (self.reference_landmarks, pair.reference)):
            if frame is not None:
                track.append(np.full((68, 2), np.nan) if frame.face is None else frame.face.landmarks)

    def motions(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Aligned landmarks of result and reference [T, 68, 2], cm, in the frames that have both; None without any."""
        if not (self.context.result_is_tracked and self.result_landmarks and self.reference_landmarks):
            return None
        result, reference = (np.stack(track) for track in (self.result_landmarks, self.reference_landmarks))
        both = np.isfinite(result).all((1, 2)) & np.isfinite(reference).all((1, 2))
        if both.sum() < 2:
            return None
        return aligned_cm(result[both]), aligned_cm(reference[both])
