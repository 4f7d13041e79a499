"""The 68 landmarks of iBUG: indices of the parts, size of the face, gaps in time.

"Right" and "left" are the subject's own: the right eye (36 to 41) is on the left of the image.
"""

from __future__ import annotations

import numpy as np

COUNT = 68

# part → (first index, one past the last)
PARTS: dict[str, tuple[int, int]] = {
    "jaw": (0, 17),
    "right_brow": (17, 22),
    "left_brow": (22, 27),
    "nose_bridge": (27, 31),
    "nose_base": (31, 36),
    "right_eye": (36, 42),
    "left_eye": (42, 48),
    "outer_lips": (48, 60),
    "inner_lips": (60, 68),
}
JAW = slice(0, 17)
NOSE = slice(27, 36)
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
EYES = slice(36, 48)
NOSE_AND_EYES = slice(27, 48)  # moved little by speech
UPPER_FACE = slice(17, 48)  # brows, nose and eyes
MOUTH = slice(48, 68)
WITHOUT_JAW = slice(17, 68)

RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 36, 45
CHIN, NOSE_TIP, MOUTH_RIGHT, MOUTH_LEFT = 8, 30, 48, 54
UPPER_LIP_INNER, LOWER_LIP_INNER = 62, 66

# Distance of the outer eye corners in head space, as in MediaPipe's canonical face. One camera cannot measure the
# size of a head, so this convention sets the scale of every clip.
INTER_OCULAR_CM = 8.89
EYEBALL_RADIUS_CM = 1.05  # of the sphere on which an iris moves
IRIS_AHEAD_CM = 0.4  # of an iris at rest in front of the midpoint between the corners of the eye


def _part_names() -> tuple[str, ...]:
    return tuple(f"{part}_{n}" for part, (first, end) in PARTS.items() for n in range(end - first))


NAMES: tuple[str, ...] = _part_names()


def indices(*parts: str) -> np.ndarray:
    """Indices of the points of one or more ``PARTS``, int64 [P], in the order given."""
    return np.concatenate([np.arange(*PARTS[part]) for part in parts])


def inter_ocular(landmarks: np.ndarray) -> np.ndarray:
    """Distance between the outer eye corners.

    Args:
        landmarks: [..., 68, D] in any unit, D = 2 or 3.

    Returns:
        [...] in the same unit; NaN where a corner is NaN.
    """
    landmarks = np.asarray(landmarks)
    return np.linalg.norm(landmarks[..., LEFT_EYE_OUTER, :] - landmarks[..., RIGHT_EYE_OUTER, :], axis=-1)


def mouth_opening(landmarks: np.ndarray) -> np.ndarray:
    """Distance between the inner lips at their middle, as a fraction of the inter-ocular distance.

    Args:
        landmarks: [..., 68, D] in any unit, D = 2 or 3.

    Returns:
        [...]; NaN where a point is NaN.
    """
    landmarks = np.asarray(landmarks)
    gap = np.linalg.norm(landmarks[..., UPPER_LIP_INNER, :] - landmarks[..., LOWER_LIP_INNER, :], axis=-1)
    return gap / inter_ocular(landmarks)


def bounding_box(landmarks: np.ndarray) -> np.ndarray:
    """Bounding boxes (left, top, right, bottom) [..., 4] of points [..., P, 2]; NaN where any point is NaN."""
    landmarks = np.asarray(landmarks)
    return np.concatenate([landmarks.min(axis=-2), landmarks.max(axis=-2)], axis=-1)


def fill_gaps(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Fills invalid frames by linear interpolation in time; the ends repeat the nearest valid frame.

    Args:
        values: float [T, ...]; invalid rows are ignored and may be NaN.
        valid: bool [T].

    Returns:
        [T, ...], a copy with the valid rows unchanged.

    Raises:
        ValueError: no frame is valid.

    Example:
        >>> fill_gaps(np.array([0.0, 1.0, 9.0, 3.0, 9.0]), np.array([False, True, False, True, False])).tolist()
        [1.0, 1.0, 2.0, 3.0, 3.0]
    """
    values, valid = np.asarray(values), np.asarray(valid, bool)
    if not valid.any():
        raise ValueError("no frame is valid")
    at = np.flatnonzero(valid)
    missing = np.flatnonzero(~valid)
    if missing.size == 0:
        return values.copy()
    after = np.clip(np.searchsorted(at, missing), 0, len(at) - 1)
    before = np.clip(np.searchsorted(at, missing) - 1, 0, len(at) - 1)
    first, last = at[before], at[after]
    fraction = np.where(last > first, (missing - first) / np.maximum(last - first, 1), 0.0)
    fraction = np.clip(fraction, 0.0, 1.0).reshape((-1,) + (1,) * (values.ndim - 1))
    filled = values.copy()
    filled[missing] = (values[first] * (1.0 - fraction) + values[last] * fraction).astype(values.dtype)
    return filled


def ranges(flags: np.ndarray) -> list[list[int]]:
    """Runs of true values in a bool array [T], as [[first, one past the last], …].

    Example:
        >>> ranges(np.array([True, False, True, True]))
        [[0, 1], [2, 4]]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], np.asarray(flags, bool), [False]]).astype(np.int8)))
    return [[int(start), int(end)] for start, end in zip(edges[::2], edges[1::2], strict=True)]
