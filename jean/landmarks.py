"""The iBUG-68 face points: which index is what, how big the face is, gaps in time.

"Right" and "left" are the subject's own: the right eye (36 to 41) is on the image's left.
"""

from __future__ import annotations

import numpy as np

COUNT = 68

# part: (first index, one past the last); the last twenty points are the mouth
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
MOUTH = slice(48, 68)
UPPER_FACE = slice(17, 48)

RIGHT_EYE_OUTER, RIGHT_EYE_INNER, LEFT_EYE_INNER, LEFT_EYE_OUTER = 36, 39, 42, 45
CHIN, NOSE_TIP, MOUTH_RIGHT, MOUTH_LEFT = 8, 30, 48, 54
UPPER_LIP_INNER, LOWER_LIP_INNER = 62, 66

# A point's index in the face seen in a mirror
MIRROR = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46),
        *(39, 38, 37, 36, 41, 40),
        *range(54, 47, -1),
        *range(59, 54, -1),
        *range(64, 59, -1),
        *range(67, 64, -1),
    ]
)


def _part_names() -> tuple[str, ...]:
    return tuple(f"{part}_{n}" for part, (first, end) in PARTS.items() for n in range(end - first))


NAMES: tuple[str, ...] = _part_names()


def indices(*parts: str) -> np.ndarray:
    """The indices of one or more ``PARTS``, in the order given."""
    return np.concatenate([np.arange(*PARTS[part]) for part in parts])


def inter_ocular(landmarks: np.ndarray) -> np.ndarray:
    """Distance between the outer eye corners.

    Args:
        landmarks: [..., 68, D], any unit, D of 2 or 3.

    Returns:
        [...], the same unit; NaN where a corner is NaN.
    """
    landmarks = np.asarray(landmarks)
    return np.linalg.norm(landmarks[..., LEFT_EYE_OUTER, :] - landmarks[..., RIGHT_EYE_OUTER, :], axis=-1)


def mouth_opening(landmarks: np.ndarray) -> np.ndarray:
    """Distance between the inner lips at their middle, as a share of the inter-ocular distance [...]."""
    landmarks = np.asarray(landmarks)
    gap = np.linalg.norm(landmarks[..., UPPER_LIP_INNER, :] - landmarks[..., LOWER_LIP_INNER, :], axis=-1)
    return gap / inter_ocular(landmarks)


def bounding_box(landmarks: np.ndarray) -> np.ndarray:
    """(left, top, right, bottom) of the points [..., P, 2] → [..., 4]; NaN where any point is NaN."""
    landmarks = np.asarray(landmarks)
    return np.concatenate([landmarks.min(axis=-2), landmarks.max(axis=-2)], axis=-1)


def fill_gaps(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fills frames that are not known: linear in time between known ones, held before and after.

    Args:
        values: [T, ...], float; rows that are not known are ignored, NaN allowed there.
        known: bool [T].

    Returns:
        [T, ...], a copy, the same where known.

    Raises:
        ValueError: no frame is known.
    """
    values, known = np.asarray(values), np.asarray(known, bool)
    if not known.any():
        raise ValueError("no frame is known")
    at = np.flatnonzero(known)
    missing = np.flatnonzero(~known)
    if missing.size == 0:
        return values.copy()
    after = np.clip(np.searchsorted(at, missing), 0, len(at) - 1)
    before = np.clip(np.searchsorted(at, missing) - 1, 0, len(at) - 1)
    first, last = at[before], at[after]
    share = np.where(last > first, (missing - first) / np.maximum(last - first, 1), 0.0)
    share = np.clip(share, 0.0, 1.0).reshape((-1,) + (1,) * (values.ndim - 1))
    filled = values.copy()
    filled[missing] = (values[first] * (1.0 - share) + values[last] * share).astype(values.dtype)
    return filled


def ranges(flags: np.ndarray) -> list[list[int]]:
    """Runs of true values: [[first, one past the last], …] of a bool array [T]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], np.asarray(flags, bool), [False]]).astype(np.int8)))
    return [[int(start), int(end)] for start, end in zip(edges[::2], edges[1::2], strict=True)]
