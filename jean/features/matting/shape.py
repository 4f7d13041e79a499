"""Where a head and its shoulders are expected, and where head ends and torso begins, from the 68 points.

Head coordinates: origin at the mean of the points, y along the face downwards, unit = root mean square
distance of the points from the origin. A face is about 2.5 wide there, the chin is at y = 1.45, brows at -1.15.
"""

from __future__ import annotations

import numpy as np

CHIN_Y = 1.45


def head_similarity(landmarks: np.ndarray) -> np.ndarray:
    """float64 [2, 3]: the map from image px to head coordinates, for landmarks [68, 2] px."""
    points = np.asarray(landmarks, np.float64)
    centre = points.mean(0)
    unit = max(float(np.sqrt(((points - centre) ** 2).sum(1).mean())), 1e-3)
    eyes = points[42:48].mean(0) - points[36:42].mean(0)
    right = eyes / max(float(np.linalg.norm(eyes)), 1e-6)
    turn = np.array([[right[0], right[1]], [-right[1], right[0]]]) / unit
    return np.concatenate([turn, -(turn @ centre)[:, None]], 1)


def grid(size_px: int, similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Head coordinates x, y (float32 [size, size]) of every pixel centre."""
    across = np.arange(size_px, dtype=np.float64) + 0.5
    (a, b, c), (d, e, f) = similarity
    x = a * across[None, :] + b * across[:, None] + c
    y = d * across[None, :] + e * across[:, None] + f
    return x.astype(np.float32), y.astype(np.float32)


def expectation(landmarks: np.ndarray, size_px: int) -> np.ndarray:
    """Log odds of foreground before looking at colours, float32 [size, size], about -4 to 6.

    An ellipse for head and hair, a bell of shoulders below the chin. Long hair outside of both costs
    little enough for its colour to win.
    """
    x, y = grid(size_px, head_similarity(landmarks))
    around = np.sqrt((x / 1.65) ** 2 + ((y + 0.75) / 2.15) ** 2)
    # Steeper within: a hole in the crown of the head is far less likely than hair outside of the ellipse.
    head = np.where(around < 1.05, 12.0, 4.5) * (1.05 - around)
    below = np.maximum(y - CHIN_Y, 0.0)
    half_width = 0.85 + 2.8 * below
    torso = np.where(y > CHIN_Y - 0.35, 2.2 * (half_width - np.abs(x)) - 6 * np.maximum(CHIN_Y - y, 0), -9.0)
    return np.clip(np.maximum(head, torso), -4.0, 6.0).astype(np.float32)


def surely_inside(landmarks: np.ndarray, size_px: int) -> np.ndarray:
    """bool [size, size]: the face, a forehead above the brows, and the neck's middle down to the border."""
    import cv2

    x, y = grid(size_px, head_similarity(landmarks))
    mask = np.zeros((size_px, size_px), np.uint8)
    points = np.asarray(landmarks, np.float64)
    # The contour jumps onto cheeks and hair at the sides: stay a little inside of it.
    centre = points.mean(0)
    hull = cv2.convexHull((centre + 0.9 * (points - centre)).astype(np.float32)).reshape(-1, 2)
    cv2.fillConvexPoly(mask, np.round(hull * 16 - 8).astype(np.int32), 1, shift=4)
    forehead = (x / 0.75) ** 2 + ((y + 1.0) / 0.75) ** 2 < 1
    neck = (np.abs(x) < 0.45) & (y > 1.0)
    return mask.astype(bool) | forehead | neck


def crown(landmarks: np.ndarray, size_px: int) -> np.ndarray:
    """bool [size, size]: the upper head, from the eyes to where hair mostly ends."""
    _, y = grid(size_px, head_similarity(landmarks))
    return (expectation(landmarks, size_px) > 0) & (y < -0.5)


def surely_outside(landmarks: np.ndarray, size_px: int) -> np.ndarray:
    """bool [size, size]: so far above or beside the head that not even much hair reaches there."""
    x, y = grid(size_px, head_similarity(landmarks))
    return (np.sqrt((x / 1.65) ** 2 + ((y + 0.75) / 2.15) ** 2) > 1.95) & (y < 0.8)


def jaw_distance(landmarks: np.ndarray, size_px: int) -> np.ndarray:
    """Signed distance from the head's lower boundary, px, float32 [size, size]: positive in the head.

    The boundary is the jaw from corner to corner (points 3 to 13), prolonged sidewards at the height of the
    corners, so that ears and the hair beside the cheeks are head and the neck's sides are not.
    """
    import cv2

    points = np.asarray(landmarks, np.float64)
    right = points[13] - points[3]
    right = right / max(float(np.linalg.norm(right)), 1e-6)
    up = np.array([right[1], -right[0]])
    far = 3.0 * size_px
    outline = [points[3] - far * right, *points[3:14], points[13] + far * right]
    outline += [points[13] + far * (right + up), points[3] - far * (right - up)]
    # Distances need a raster with room around the frame, or its borders would count as boundaries.
    room = size_px // 4
    mask = np.zeros((size_px + 2 * room, size_px + 2 * room), np.uint8)
    corners = np.round((np.array(outline) + room) * 16 - 8).astype(np.int32)
    cv2.fillPoly(mask, [corners], 1, shift=4)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    signed = np.where(mask > 0, inside - 0.5, 0.5 - outside)
    return signed[room : room + size_px, room : room + size_px].astype(np.float32)
