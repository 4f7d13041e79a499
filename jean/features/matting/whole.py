"""The rule that head and torso together are the person without holes.

A hole is a pixel that the person encloses, or that lies between jaw and collar. A head that is trained on a hole lets
the background through there, and moves it with the face.
"""

from __future__ import annotations

import numpy as np

from jean.features.matting.shape import CHIN_Y, head_grid, head_similarity, jaw_middle
from jean.landmarks import CHIN

LEVELS = 16
# The part of the neck that any person covers, in head coordinates: half width, and reach below the chin.
NECK_HALF_WIDTH, NECK_BELOW = 0.5, 0.75
EDGE_PX = 2.0  # width of the soft rim of a filled neck, at 256 px


def fill_enclosed(alpha: np.ndarray, levels: int = LEVELS) -> np.ndarray:
    """Raises each pixel to the largest opacity, in steps of 1 / ``levels``, that encloses it.

    The lower border is closed: a gap between neck and hair that reaches it is a hole, too.

    Args:
        alpha: float32 [h, w] in [0, 1].
        levels: number of steps.

    Returns:
        float32 [h, w], nowhere below ``alpha``.

    Example:
        >>> ring = np.zeros((5, 5), np.float32)
        >>> ring[1:4, 1:4] = 0.75
        >>> ring[2, 2] = 0.1
        >>> float(fill_enclosed(ring)[2, 2].round(2)), float(fill_enclosed(ring)[0, 0])
        (0.75, 0.0)
    """
    import cv2

    filled: np.ndarray = alpha.astype(np.float32)
    for level in np.arange(1, levels + 1) / levels:
        # the tolerance keeps opacities that were stored with 8 bits at their own level
        count, labels = cv2.connectedComponents((alpha < level - 0.5 / 255).astype(np.uint8), connectivity=4)
        enclosed = np.ones(count, bool)
        for border in (labels[0], labels[:, 0], labels[:, -1]):
            enclosed[border] = False
        enclosed[0] = False  # the pixels above the level
        filled = np.maximum(filled, enclosed[labels].astype(np.float32) * np.float32(level))
    return filled


def neck(landmarks: np.ndarray, size_px: int) -> np.ndarray:
    """The part of the neck between jaw and collar that every person covers, bool [size, size].

    It lies below the middle of the jaw's corners, since the chin of a turned head stands beside the neck.

    Args:
        landmarks: [68, 2] px.
        size_px: side of the frame.
    """
    points = np.asarray(landmarks, np.float64)
    similarity = head_similarity(points)
    x, y = head_grid(size_px, similarity)
    chin = similarity[:, :2] @ points[CHIN] + similarity[:, 2]
    top = min(float(chin[1]), CHIN_Y) - 0.3
    return (np.abs(x - jaw_middle(points)) < NECK_HALF_WIDTH) & (y > top) & (y < top + 0.3 + NECK_BELOW)


def without_holes(alpha: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Opacity of a person without holes.

    Args:
        alpha: float32 [h, w] in [0, 1].
        landmarks: [68, 2] px, finite.

    Returns:
        float32 [h, w].
    """
    import cv2

    inside = neck(landmarks, len(alpha)).astype(np.float32)
    soft = cv2.GaussianBlur(inside, (0, 0), EDGE_PX * len(alpha) / 256)
    return fill_enclosed(np.maximum(alpha, np.clip(2 * soft, 0, 1)))


def holes(opacity: np.ndarray, landmarks: np.ndarray | None) -> np.ndarray:
    """Pixels that are less than half opaque although the person encloses them, or between jaw and collar; bool [h, w].

    Args:
        opacity: of head and torso together, float32 [h, w] in [0, 1].
        landmarks: [68, 2] px; None to leave the neck out.
    """
    solid = opacity > 0.5
    person = fill_enclosed(solid.astype(np.float32), levels=1) > 0.5
    if landmarks is not None:
        person |= neck(landmarks, len(opacity))
    return person & ~solid
