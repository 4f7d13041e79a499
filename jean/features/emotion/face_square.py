"""Crops the square around a face, the input of emotion networks."""

from __future__ import annotations

import numpy as np

MARGIN = 1.25  # side of the square over the longer side of the bounding box of the landmarks, as in EMOCA


def face_square(image: np.ndarray, landmarks: np.ndarray, size_px: int, margin: float = MARGIN) -> np.ndarray | None:
    """Crops and resizes the square around the landmarks.

    Args:
        image: RGB uint8 [H, W, 3].
        landmarks: [68, 2] px, may be NaN.
        size_px: side of the result.
        margin: side of the square over the longer side of the bounding box of the landmarks.

    Returns:
        uint8 [size, size, 3], black outside the image; None without a face.
    """
    import cv2

    if not np.isfinite(landmarks).all():
        return None
    low, high = landmarks.min(0), landmarks.max(0)
    side = float((high - low).max()) * margin
    if side < 1:
        return None
    left, top = (low + high) / 2 - side / 2
    scale = size_px / side
    # pixel centres are at half-integers here, at integers in OpenCV
    matrix = np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    if scale < 0.5:  # warpAffine does not average pixels, so shrink the image first
        image = cv2.resize(image, None, fx=2 * scale, fy=2 * scale, interpolation=method)
        matrix = np.array([[0.5, 0, matrix[0, 2]], [0, 0.5, matrix[1, 2]]])
    return cv2.warpAffine(image, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR)
