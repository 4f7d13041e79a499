"""The shape of the mouth, apart from the head's pose."""

from __future__ import annotations

import math

import numpy as np

from jean.data.clip import Clip
from jean.data.face_points import rigid_offsets


def lip_shapes(clip: Clip) -> np.ndarray:
    """float32 [T, 40]: how the 20 mouth points differ from the rigid head's, cm in the face's own axes.

    The head's pose is taken out by projecting the rigid shape; the rest is turned by the roll and scaled
    by the distance. Frames without a face get zeros.
    """
    shapes = rigid_offsets(clip, slice(48, 68)).reshape(clip.frame_count, -1)
    return np.nan_to_num(shapes).astype(np.float32)


def lip_coordinates(shapes: np.ndarray, train: np.ndarray, count: int) -> np.ndarray:
    """float32 [T, count]: principal components of the mouth's shapes over the training frames.

    In units of the first component's spread, so that small components stay small.

    Args:
        shapes: [T, 40], from ``lip_shapes``.
        train: indices of the frames that the components are found on.
        count: components; what is missing is zero.
    """
    mean = shapes[train].mean(0)
    _, spreads, axes = np.linalg.svd(shapes[train] - mean, full_matrices=False)
    unit = max(float(spreads[0]) / math.sqrt(len(train)), 1e-6)
    coordinates = (shapes - mean) @ axes[:count].T / unit
    return np.pad(coordinates, ((0, 0), (0, count - coordinates.shape[1]))).astype(np.float32)
