"""Image regions that metrics compare: the aligned face box and the face hull."""

from __future__ import annotations

import numpy as np

# Fractions of the landmarks' box that are added on each side. The landmarks end at the brows, while boxes of face
# detectors (such as the paper's, section 8.5) reach up to the hair line, hence the larger margin at the top.
MARGIN_SIDE = 0.10
MARGIN_TOP = 0.30
MARGIN_BOTTOM = 0.05


def face_box(landmarks: np.ndarray) -> tuple[int, int, int, int]:
    """Face box (left, top, right, bottom) in whole px; right and bottom are exclusive.

    The box may extend beyond the image; ``crop`` handles that.

    Args:
        landmarks: [68, 2] px.
    """
    (left, top), (right, bottom) = landmarks.min(0), landmarks.max(0)
    width, height = right - left, bottom - top
    edges = (
        left - MARGIN_SIDE * width,
        top - MARGIN_TOP * height,
        right + MARGIN_SIDE * width,
        bottom + MARGIN_BOTTOM * height,
    )
    x0, y0, x1, y1 = (int(np.floor(edge + 0.5)) for edge in edges)
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def crop(image: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Crops ``image`` [H, W, C] to ``box``; beyond the image, its edge pixels are repeated.

    Args:
        image: [H, W, C].
        box: (left, top, right, bottom) in px, right and bottom exclusive.

    Returns:
        [bottom − top, right − left, C].
    """
    left, top, right, bottom = box
    rows = np.clip(np.arange(top, bottom), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(left, right), 0, image.shape[1] - 1)
    return image[rows[:, None], columns[None, :]]


def resize(image: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """Resizes ``image`` [H, W, C]: area averaging to shrink, linear interpolation to enlarge."""
    import cv2

    if image.shape[:2] == (height_px, width_px):
        return image
    shrinks = width_px * height_px < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width_px, height_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def aligned_crops(
    result: np.ndarray, result_landmarks: np.ndarray, reference: np.ndarray, reference_landmarks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Crops each image to its own face and resizes the reference's crop to the result's (sections 4.1.2, 8.5).

    Framing and background therefore do not count.

    Args:
        result, reference: [H, W, 3]; sizes may differ.
        result_landmarks, reference_landmarks: [68, 2] px of their own image.

    Returns:
        (crop of the result, crop of the reference), both [h, w, 3].
    """
    result_crop = crop(result, face_box(result_landmarks))
    reference_crop = crop(reference, face_box(reference_landmarks))
    return result_crop, resize(reference_crop, result_crop.shape[1], result_crop.shape[0])


def hull_mask(landmarks: np.ndarray, height_px: int, width_px: int) -> np.ndarray:
    """Mask of the convex hull of the landmarks [68, 2] px: bool [height_px, width_px]."""
    import cv2

    hull = cv2.convexHull(landmarks.astype(np.float32))
    mask = np.zeros((height_px, width_px), np.uint8)
    # cv2 has pixel centres at integers, this project at half-integers; ``shift`` keeps 4 fractional bits
    points = np.round((hull - 0.5) * 16).astype(np.int32)
    cv2.fillConvexPoly(mask, points, 1, shift=4)
    return mask.astype(bool)
