"""Landmark offsets of a face from its rigid head, and principal components of the mouth's offsets."""

from __future__ import annotations

import math

import numpy as np

from jean.clips.clip import Clip
from jean.drivers.face_points import rigid_offsets
from jean.landmarks import COUNT, MOUTH

PIECE = 2000  # frames whose offsets are computed at once: the steps between take ten times the memory of the result


def face_offsets(clip: Clip) -> np.ndarray:
    """Offsets of all landmarks from the rigid head, float32 [T, 68, 2], cm; zero in frames without a face."""
    result = np.empty((clip.frame_count, COUNT, 2), np.float32)
    for first in range(0, clip.frame_count, PIECE):
        frames = slice(first, first + PIECE)
        result[frames] = np.nan_to_num(rigid_offsets(clip, slice(0, COUNT), frames))
    return result


def lip_coordinates(offsets: np.ndarray, train: np.ndarray, count: int) -> np.ndarray:
    """Principal components of the mouth's shape, float32 [T, count].

    The unit is the standard deviation of the first component, so that small components stay small.

    Args:
        offsets: [T, 68, 2], cm, from ``face_offsets``; only the mouth's landmarks are used.
        train: indices of the frames that the components are fitted on.
        count: number of components; components beyond the rank of the data are zero.
    """
    shapes = offsets[:, MOUTH].reshape(len(offsets), -1)
    mean = shapes[train].mean(0)
    singular, axes = np.linalg.svd(shapes[train] - mean, full_matrices=False)[1:]
    unit = max(float(singular[0]) / math.sqrt(len(train)), 1e-6)
    coordinates = (shapes - mean) @ axes[:count].T / unit
    return np.pad(coordinates, ((0, 0), (0, count - coordinates.shape[1]))).astype(np.float32)


def fit_offsets(expression: np.ndarray, offsets: np.ndarray, ridge: float = 10.0) -> np.ndarray:
    """Ridge regression of landmark offsets on standardised expression vectors.

    Args:
        expression: [T, E].
        offsets: [T, 68, 2], cm.
        ridge: weight of the squared slopes.

    Returns:
        [E + 1, 136], slopes per expression value and, in the last row, the intercept; see ``predict_offsets``.
    """
    # 0.02 as in the head: the noise of a coefficient that never moves must not become motion
    mean, std = expression.mean(0), np.maximum(expression.std(0), 0.02)
    standardised = ((expression - mean) / std).astype(np.float64)
    flat = offsets.reshape(len(offsets), -1).astype(np.float64)
    flat_mean = flat.mean(0)
    flat -= flat_mean
    normal = standardised.T @ standardised + ridge * np.eye(standardised.shape[1])
    slopes = np.linalg.solve(normal, standardised.T @ flat)
    slopes = slopes / std[:, None]
    return np.concatenate([slopes, (flat_mean - mean @ slopes)[None]])


def predict_offsets(coefficients: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """Landmark offsets [T, 68, 2], cm, of expression vectors [T, E], by the regression of ``fit_offsets``."""
    inputs = np.concatenate([expression, np.ones((len(expression), 1))], 1)
    return (inputs @ coefficients).reshape(len(expression), -1, 2)
