"""Expression coefficients for trackers that have none: how far points of the face moved, in head space.

The camera fit's own deformations are learned anew for each clip, so clips could not lend each other their
expression. Displacements of named points in centimetres of a mean head mean the same in all clips.
"""

from __future__ import annotations

import numpy as np

from jean import landmarks as ibug

VERSION = "displacement-1"

_BROWS = ibug.indices("right_brow", "left_brow")
_LIDS = np.array([37, 38, 40, 41, 43, 44, 46, 47])
_INNER_BROWS = np.array([21, 22])
_MOUTH = ibug.indices("outer_lips", "inner_lips")
_CHIN = np.array([ibug.CHIN])

# (points, axis of head space, part of the upper face)
_GROUPS = (
    (_BROWS, 1, True),
    (_INNER_BROWS, 0, True),
    (_LIDS, 1, True),
    (_MOUTH, 0, False),
    (_MOUTH, 1, False),
    (_CHIN, 1, False),
)

NAMES: tuple[str, ...] = tuple(
    f"{ibug.NAMES[point]}_{'xyz'[axis]}" for points, axis, _ in _GROUPS for point in points.tolist()
)
UPPER: tuple[bool, ...] = tuple(upper for points, _, upper in _GROUPS for _ in points)


def displacements(coefficients: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """float32 [T, E]: movement of the points in ``NAMES`` from the clip's neutral shape, cm.

    Args:
        coefficients: [T, K] of the camera fit.
        basis: [K, 68, 3], cm, of the iBUG-68 points.
    """
    columns = [basis[:, points, axis] for points, axis, _ in _GROUPS]
    return (coefficients @ np.concatenate(columns, axis=1)).astype(np.float32)
