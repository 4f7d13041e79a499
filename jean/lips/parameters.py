"""Speaker-independent lip parameters, and their measurement from landmarks."""

from __future__ import annotations

import numpy as np

from jean.landmarks import INTER_OCULAR_CM, LEFT_EYE_OUTER, MOUTH_LEFT, MOUTH_RIGHT, RIGHT_EYE_OUTER

# What the prior predicts, in this order. Opening and width are also measured from landmarks.
PARAMETERS = ("opening", "width", "rounding", "tuck", "jaw")
OPENING, WIDTH = 0, 1
_UPPER, _LOWER = slice(61, 64), [67, 66, 65]  # pairs of opposite points of the inner lips


def opening_and_width(points: np.ndarray) -> np.ndarray:
    """Opening of the inner lips and distance of the mouth corners, [..., 2], in the unit of the points.

    Args:
        points: landmarks [..., 68, 2 or 3].
    """
    opening = np.linalg.norm(points[..., _UPPER, :] - points[..., _LOWER, :], axis=-1).mean(-1)
    width = np.linalg.norm(points[..., MOUTH_RIGHT, :] - points[..., MOUTH_LEFT, :], axis=-1)
    return np.stack([opening, width], -1)


def measured_lips(landmarks: np.ndarray) -> np.ndarray:
    """Opening and width [T, 2], cm, from the landmarks of a video [T, 68, 2], px; NaN in frames without a face.

    The scale is that of the median distance of the outer eye corners, as in ``jean.landmarks.INTER_OCULAR_CM``. A
    turned head looks narrower; the error is second-order in the angle.
    """
    eyes = np.linalg.norm(landmarks[:, RIGHT_EYE_OUTER] - landmarks[:, LEFT_EYE_OUTER], axis=1)
    scale = np.nanmedian(eyes) if np.isfinite(eyes).any() else np.nan
    return opening_and_width(landmarks) * (INTER_OCULAR_CM / scale)
