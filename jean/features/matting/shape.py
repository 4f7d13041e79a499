"""Expected position of head and torso in a frame, from the 68 landmarks.

Head coordinates are 2D: the origin is the mean of the landmarks, y points down along the face, and the unit is the
root mean square distance of the landmarks from the origin. A face is about 2.5 units wide; the chin is at y = 1.45,
the brows are at y = -1.15.
"""

from __future__ import annotations

import numpy as np

from jean.landmarks import LEFT_EYE, RIGHT_EYE

CHIN_Y = 1.45
JAW_CORNERS = [3, 13]  # where jaw and cheek meet


def head_similarity(landmarks: np.ndarray) -> np.ndarray:
    """Affine map float64 [2, 3] from image positions (px) to head coordinates.

    Args:
        landmarks: [68, 2] px.
    """
    points = np.asarray(landmarks, np.float64)
    centre = points.mean(0)
    unit = max(float(np.sqrt(((points - centre) ** 2).sum(1).mean())), 1e-3)
    eyes = points[LEFT_EYE].mean(0) - points[RIGHT_EYE].mean(0)
    right = eyes / max(float(np.linalg.norm(eyes)), 1e-6)
    turn = np.array([[right[0], right[1]], [-right[1], right[0]]]) / unit
    return np.concatenate([turn, -(turn @ centre)[:, None]], 1)


def head_grid(size_px: int, similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Head coordinates x and y of all pixel centres, float32 [size, size] each.

    Args:
        size_px: side of the frame.
        similarity: [2, 3], from ``head_similarity``.
    """
    across = np.arange(size_px, dtype=np.float64) + 0.5
    (a, b, c), (d, e, f) = similarity
    x = a * across[None, :] + b * across[:, None] + c
    y = d * across[None, :] + e * across[:, None] + f
    return x.astype(np.float32), y.astype(np.float32)


def prior_odds(landmarks: np.ndarray, size_px: int) -> np.ndarray:
    """Log odds of foreground by position alone, float32 [size, size], about -4 to 6.

    The shape is an ellipse for head and hair and a bell for the shoulders below the chin. Outside, the odds are low
    but still allow long hair to be found by its colour.
    """
    x, y = head_grid(size_px, head_similarity(landmarks))
    around = np.sqrt((x / 1.65) ** 2 + ((y + 0.75) / 2.15) ** 2)
    # Steeper inside: a hole in the crown of the head is far less likely than hair outside the ellipse.
    head = np.where(around < 1.05, 12.0, 4.5) * (1.05 - around)
    below = np.maximum(y - CHIN_Y, 0.0)
    half_width = 0.85 + 2.8 * below
    torso = np.where(y > CHIN_Y - 0.35, 2.2 * (half_width - np.abs(x)) - 6 * np.maximum(CHIN_Y - y, 0), -9.0)
    return np.clip(np.maximum(head, torso), -4.0, 6.0).astype(np.float32)


def certain_foreground(landmarks: np.ndarray, size_px: int) -> np.ndarray:
    """Certain foreground: face, forehead, and the middle of the neck down to the border; bool [size, size]."""
    x, y = head_grid(size_px, head_similarity(landmarks))
    forehead = (x / 0.75) ** 2 + ((y + 1.0) / 0.75) ** 2 < 1
    neck = (np.abs(x) < 0.45) & (y > 1.0)
    # The tracked contour may jump to cheeks and hair at the sides: the hull stays slightly inside it.
    return face_hull(landmarks, size_px) | forehead | neck


def face_hull(landmarks: np.ndarray, size_px: int, scale: float = 0.9) -> np.ndarray:
    """The convex hull of the landmarks, scaled about their mean, bool [size, size]."""
    import cv2

    mask = np.zeros((size_px, size_px), np.uint8)
    points = np.asarray(landmarks, np.float64)
    centre = points.mean(0)
    hull = cv2.convexHull((centre + scale * (points - centre)).astype(np.float32)).reshape(-1, 2)
    cv2.fillConvexPoly(mask, np.round(hull * 16 - 8).astype(np.int32), 1, shift=4)
    return mask.astype(bool)


def jaw_middle(landmarks: np.ndarray) -> float:
    """Horizontal position of the neck in head coordinates: the middle of the corners of the jaw.

    The chin of a turned head stands beside the neck.

    Args:
        landmarks: [68, 2] px.
    """
    points = np.asarray(landmarks, np.float64)
    similarity = head_similarity(points)
    return float(similarity[0, :2] @ points[JAW_CORNERS].mean(0) + similarity[0, 2])


def upper_head(landmarks: np.ndarray, size_px: int) -> np.ndarray:
    """The head from the eyes to the usual end of the hair, bool [size, size]."""
    _, y = head_grid(size_px, head_similarity(landmarks))
    return (prior_odds(landmarks, size_px) > 0) & (y < -0.5)


def certain_background(landmarks: np.ndarray, size_px: int) -> np.ndarray:
    """Certain background: above or beside the head, beyond the reach of even much hair; bool [size, size]."""
    x, y = head_grid(size_px, head_similarity(landmarks))
    return (np.sqrt((x / 1.65) ** 2 + ((y + 0.75) / 2.15) ** 2) > 1.95) & (y < 0.8)


def jaw_distance(landmarks: np.ndarray, size_px: int) -> np.ndarray:
    """Signed distance (px) to the lower boundary of the head, float32 [size, size]; positive inside the head.

    The boundary is the jaw from corner to corner (points 3 to 13), extended sidewards from the corners. So ears and
    the hair beside the cheeks belong to the head, and the sides of the neck do not.
    """
    import cv2

    points = np.asarray(landmarks, np.float64)
    right = points[13] - points[3]
    right = right / max(float(np.linalg.norm(right)), 1e-6)
    up = np.array([right[1], -right[0]])
    far = 3.0 * size_px
    outline = [points[3] - far * right, *points[3:14], points[13] + far * right]
    outline += [points[13] + far * (right + up), points[3] - far * (right - up)]
    # A margin around the frame, so that its borders do not count as boundaries.
    margin = size_px // 4
    mask = np.zeros((size_px + 2 * margin, size_px + 2 * margin), np.uint8)
    corners = np.round((np.array(outline) + margin) * 16 - 8).astype(np.int32)
    cv2.fillPoly(mask, [corners], 1, shift=4)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    signed = np.where(mask > 0, inside - 0.5, 0.5 - outside)
    return signed[margin : margin + size_px, margin : margin + size_px].astype(np.float32)
