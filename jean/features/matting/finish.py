"""From foreground masks to mattes: opacity along the edges, no holes, head and torso, steady in time, full size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jean.features.matting.common import shrink, to_uint8
from jean.features.matting.edges import enlarge
from jean.features.matting.models import frame_guide
from jean.features.matting.motion import MotionSmoother
from jean.features.matting.refine import soft_alpha
from jean.features.matting.split import HairModel, head_fraction
from jean.features.matting.whole import without_holes


def finish_mattes(
    full: Sequence[np.ndarray],
    small: np.ndarray,
    masks: np.ndarray,
    landmarks: np.ndarray,
    hair: HairModel,
    smoother: MotionSmoother,
) -> np.ndarray:
    """Mattes uint8 [N, H, W, 2] (head, torso) of a block of frames.

    Args:
        full: RGB uint8 [H, W, 3], N frames.
        small: uint8 [N, h, w, 3], the frames at the working size, with brightened darks.
        masks: bool [N, h, w], the person.
        landmarks: [N, 68, 2] px of the small frames, finite.
        hair: colour densities of hair and torso.
        smoother: smooths maps of the small frames in time.
    """
    import cv2

    alphas, fractions = np.empty(masks.shape, np.float32), np.empty(masks.shape, np.float32)
    for i, rgb in enumerate(small):
        guide = frame_guide(rgb)
        alphas[i] = without_holes(soft_alpha(rgb, guide, masks[i]), landmarks[i])
        fractions[i] = head_fraction(rgb, guide, alphas[i], landmarks[i], hair)
    alphas, fractions = smoother.smooth(alphas), smoother.smooth(fractions)
    side = full[0].shape[0]
    mattes = np.empty((len(full), side, side, 2), np.uint8)
    for i, rgb in enumerate(full):
        alpha = enlarge(alphas[i], shrink(rgb, small.shape[1]), rgb)
        fraction = cv2.resize(fractions[i], (side, side), interpolation=cv2.INTER_LINEAR)
        mattes[i] = to_uint8(alpha * fraction, alpha * (1 - fraction))
    return mattes
