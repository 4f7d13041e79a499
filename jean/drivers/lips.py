"""How a face differs from its rigid head, and the mouth's share of it in few numbers."""

from __future__ import annotations

import math

import numpy as np

from jean.clips.clip import Clip
from jean.drivers.face_points import rigid_offsets


def face_offsets(clip: Clip) -> np.ndarray:
    """float32 [T, 68, 2]: how the landmarks differ from the rigid head's, cm; zero in frames without a face."""
    return np.nan_to_num(rigid_offsets(clip, slice(0, 68))).astype(np.float32)


def lip_coordinates(offsets: np.ndarray, train: np.ndarray, count: int) -> np.ndarray:
    """float32 [T, count]: principal components of the mouth's shapes over the training frames.

    In units of the first component's spread, so that small components stay small.

    Args:
        offsets: [T, 68, 2], from ``face_offsets``; only the mouth's are used.
        train: indices of the frames that the components are found on.
        count: components; what is missing is zero.
    """
    shapes = offsets[:, 48:].reshape(len(offsets), -1)
    mean = shapes[train].mean(0)
    _, spreads, axes = np.linalg.svd(shapes[train] - mean, full_matrices=False)
    unit = max(float(spreads[0]) / math.sqrt(len(train)), 1e-6)
    coordinates = (shapes - mean) @ axes[:count].T / unit
    return np.pad(coordinates, ((0, 0), (0, count - coordinates.shape[1]))).astype(np.float32)
