"""Matting by MediaPipe's selfie-multiclass network, smoothed in time and aligned with the edges of the frames."""

from __future__ import annotations

import numpy as np

from jean.features.matting.common import Frame, shrink, to_uint8, work_size
from jean.features.matting.edges import ColourGuide, enlarge
from jean.features.matting.motion import MotionSmoother
from jean.features.matting.network import Classify, NetworkMatting
from jean.features.matting.whole import fill_enclosed, without_holes

WEIGHTS = "selfie_multiclass_256x256.tflite"
# of its classes: 0 background, 1 hair, 2 body skin, 3 face skin, 4 clothes, 5 other (glasses, scarves)
HEAD_CLASSES = (1, 3)
TORSO_CLASSES = (2, 4, 5)
# Range of probability that becomes opacities between 0 and 1. The network is uncertain in a wider band than hair is.
UNCERTAIN = (0.3, 0.7)
GUIDE_PX, GUIDE_SMOOTHNESS = 2, 4e-4  # of the guided filter, at 256 px


class SelfieMatting(NetworkMatting):
    """Matting by a network for hair, skin and clothes; landmarks only close the neck. See ``Matting``."""

    name = "selfie"
    weights = (WEIGHTS,)
    classes = 6
    version = "3"

    def mattes(self, block: list[Frame], probabilities: Classify) -> np.ndarray:
        """See ``NetworkMatting``."""
        full = [rgb for rgb, _ in block]
        side = full[0].shape[0]
        small = np.stack([shrink(rgb, work_size(side)) for rgb in full])
        parts = np.stack([_head_and_torso(probabilities(rgb)) for rgb in small])
        smoother = MotionSmoother(small)
        parts = np.stack([smoother.smooth(np.ascontiguousarray(parts[..., i])) for i in range(2)], -1)
        mattes = np.empty((len(full), side, side, 2), np.uint8)
        for i, rgb in enumerate(full):
            points = block[i][1] * (small.shape[1] / side)
            mattes[i] = opacity(parts[i], small[i], rgb, points if np.isfinite(points).all() else None)
        return mattes


def _head_and_torso(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities of head and torso, float32 [h, w, 2], from class probabilities [h, w, 6]."""
    return np.stack([probabilities[..., list(c)].sum(-1) for c in (HEAD_CLASSES, TORSO_CLASSES)], -1).astype(np.float32)


def opacity(parts: np.ndarray, small: np.ndarray, full: np.ndarray, landmarks: np.ndarray | None) -> np.ndarray:
    """Converts probabilities to opacities, with a soft step where the person becomes more likely than the background.

    Args:
        parts: float32 [h, w, 2], probability of head and of torso.
        small: uint8 [h, w, 3], the frame at the same size.
        full: uint8 [H, W, 3], the full-size frame.
        landmarks: [68, 2] px of the small frame; None without a face, whose neck is then unknown.

    Returns:
        uint8 [H, W, 2].
    """
    import cv2

    low, high = UNCERTAIN
    person = np.ascontiguousarray(parts.sum(-1), np.float32)
    aligned = ColourGuide(small, max(1, round(GUIDE_PX * small.shape[0] / 256)), GUIDE_SMOOTHNESS).filter(person)
    alpha = np.clip((aligned - low) / (high - low), 0, 1)
    alpha = fill_enclosed(alpha) if landmarks is None else without_holes(alpha, landmarks)
    alpha = enlarge(alpha, small, full)
    head_fraction = np.clip(parts[..., 0] / np.maximum(person, 1e-6), 0, 1)
    fraction = cv2.resize(head_fraction, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return to_uint8(alpha * fraction, alpha * (1 - fraction))
