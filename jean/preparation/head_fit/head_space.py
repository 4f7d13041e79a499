"""The shape that a fit starts from, and the change of axes to head space at its end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jean.errors import InputError
from jean.geometry import rotation_matrix
from jean.preparation.head_fit.head_model import HeadModel

EYE_CORNERS_CM = 8.89  # distance of the outer eye corners in head space (jean.clips.clip)
EYE_MIDDLE_CM = np.array([0.0, -2.66, -3.17])  # the point midway between them


def start_shape(
    points: np.ndarray, mask: np.ndarray, canonical: np.ndarray | None, eye_corners: tuple[int, int]
) -> np.ndarray:
    """The shape [P, 3], cm, that a fit starts from.

    It is the canonical face, or without one a factorisation of the tracks (Tomasi and Kanade 1992).

    Raises:
        InputError: no canonical face, and fewer than two frames that show all points.
    """
    if canonical is not None:
        return np.asarray(canonical, np.float64)
    complete = mask.all(1)
    tracks = points[complete] - points[complete].mean(1, keepdims=True)
    if len(tracks) < 2:
        raise InputError("too few frames to learn a head shape from.", "Use a tracker that has a mean face.")
    measured = tracks.transpose(0, 2, 1).reshape(-1, points.shape[1])
    left, singular, right = np.linalg.svd(measured, full_matrices=False)
    motion, shape = left[:, :3] * np.sqrt(singular[:3]), (right[:3] * np.sqrt(singular[:3, None])).T
    upgrade = _metric_upgrade(motion.reshape(-1, 2, 3))
    shape, motion = shape @ np.linalg.inv(upgrade).T, motion @ upgrade
    first = motion[:2] / np.linalg.norm(motion[:2], axis=1, keepdims=True)
    axes = np.vstack([first, np.cross(first[0], first[1])])
    shape = shape @ axes.T
    # Parallel projection cannot tell a shape from its mirror image in depth: a face bulges towards the camera.
    radius = np.linalg.norm(shape[:, :2] - shape[:, :2].mean(0), axis=1)
    if np.corrcoef(radius, shape[:, 2])[0, 1] < 0:
        shape[:, 2] *= -1
    flat = HeadModel(1.0, np.zeros(2), shape, np.zeros((0, len(shape), 3)), np.ones(len(shape)))
    return in_head_space(flat, eye_corners).shape


def _metric_upgrade(rows: np.ndarray) -> np.ndarray:
    """A matrix [3, 3] that makes the two rows of each frame [T, 2, 3] orthogonal and equally long."""
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]

    def products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.stack([a[:, i] * b[:, j] + (a[:, j] * b[:, i] if i != j else 0) for i, j in pairs], 1)

    a, b = rows[:, 0], rows[:, 1]
    design = np.concatenate([products(a, a) - products(b, b), products(a, b)])
    _, _, right = np.linalg.svd(design)
    matrix = np.zeros((3, 3))
    for (i, j), value in zip(pairs, right[-1], strict=True):
        matrix[i, j] = matrix[j, i] = value
    value, vector = np.linalg.eigh(matrix if np.trace(matrix) > 0 else -matrix)
    # with little rotation the smallest eigenvalue is noise: bound it, as a face is about half as deep as wide
    return vector * np.sqrt(np.maximum(value, 0.05 * value.max()))


def in_head_space(head: HeadModel, eye_corners: tuple[int, int]) -> HeadModel:
    """Transforms a head so that its outer eye corners are where head space has them.

    The eye corners decide scale, position, roll and yaw; pitch stays. Image points do not change once the views
    are solved again.
    """
    right, left = head.shape[eye_corners[0]], head.shape[eye_corners[1]]
    scale = EYE_CORNERS_CM / np.linalg.norm(left - right)
    across = (left - right) / np.linalg.norm(left - right)
    axis = np.cross(across, [1.0, 0.0, 0.0])
    sine = np.linalg.norm(axis)
    angle = np.arctan2(sine, across[0])
    rotation = rotation_matrix(axis / max(sine, 1e-12) * angle)
    shape = scale * (head.shape - (left + right) / 2) @ rotation.T + EYE_MIDDLE_CM
    return replace(head, shape=shape, basis=scale * head.basis @ rotation.T)
