"""Where a fit starts from, and the axes in which it ends: the mean face and head space."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jean.errors import InputError
from jean.geometry import rotation_matrix
from jean.prepare.head_fit.bundle_model import Head

EYE_CORNERS_CM = 8.89  # see jean.clips.clip: head space
EYE_MIDDLE_CM = np.array([0.0, -2.66, -3.17])


def start_shape(
    points: np.ndarray, mask: np.ndarray, canonical: np.ndarray | None, eye_corners: tuple[int, int]
) -> np.ndarray:
    """A mean face [P, 3]: the canonical one, or a factorisation of the tracks (Tomasi and Kanade 1992)."""
    if canonical is not None:
        return np.asarray(canonical, np.float64)
    whole = mask.all(1)
    tracks = points[whole] - points[whole].mean(1, keepdims=True)
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
    # Mirrored depth explains parallel projection as well; a face bulges towards the camera.
    radius = np.linalg.norm(shape[:, :2] - shape[:, :2].mean(0), axis=1)
    if np.corrcoef(radius, shape[:, 2])[0, 1] < 0:
        shape[:, 2] *= -1
    flat = Head(1.0, np.zeros(2), shape, np.zeros((0, len(shape), 3)), np.ones(len(shape)))
    return in_head_space(flat, eye_corners).shape


def _metric_upgrade(rows: np.ndarray) -> np.ndarray:
    """A [3, 3] that makes the two rows of each frame [T, 2, 3] orthogonal and equally long."""
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
    # With little rotation the smallest eigenvalue is noise; a face is about half as deep as wide.
    return vector * np.sqrt(np.maximum(value, 0.05 * value.max()))


def in_head_space(head: Head, eye_corners: tuple[int, int]) -> Head:
    """The same head with its outer eye corners where head space has them.

    Scale and position are those of the eye corners, roll and yaw are theirs too; pitch stays.
    Image points do not change if the views are solved again.
    """
    right, left = head.shape[eye_corners[0]], head.shape[eye_corners[1]]
    scale = EYE_CORNERS_CM / np.linalg.norm(left - right)
    across = (left - right) / np.linalg.norm(left - right)
    turn = np.cross(across, [1.0, 0.0, 0.0])
    sine = np.linalg.norm(turn)
    angle = np.arctan2(sine, across[0])
    rotation = rotation_matrix(turn / max(sine, 1e-12) * angle)
    shape = scale * (head.shape - (left + right) / 2) @ rotation.T + EYE_MIDDLE_CM
    return replace(head, shape=shape, basis=scale * head.basis @ rotation.T)
