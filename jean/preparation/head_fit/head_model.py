"""The head model that bundle adjustment fits: parameters of the clip and of each frame, and its projection.

In frame t, point p of the head is the projection of ``rotation[t] @ x + translation[t]``, where
``x = shape[p] + sum_k coefficients[t, k] * basis[k, p]`` is in head space (cm). The unknowns are one focal
length, one shape and one basis for the clip, and a rigid view and K coefficients per frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jean.geometry import cross_matrix, rotation_matrix


@dataclass(frozen=True)
class PointTracks:
    """Tracked image points of T frames.

    Attributes:
        points: px [T, P, 2]; any value where ``mask`` is False.
        mask: bool [T, P], observations to use.
        whiten: [T, P, 2, 2], applied to errors before they are measured, because a point on an edge is located
            less well along the edge than across it. None: errors in px, alike in all directions.
    """

    points: np.ndarray
    mask: np.ndarray
    whiten: np.ndarray | None = None

    def part(self, index: np.ndarray | slice) -> PointTracks:
        """Selects frames."""
        return PointTracks(self.points[index], self.mask[index], None if self.whiten is None else self.whiten[index])

    def residual(self, predicted: np.ndarray) -> np.ndarray:
        """Whitened errors [T, P, 2] of predicted points; 0 where ``mask`` is False."""
        error = np.where(self.mask[..., None], self.points - predicted, 0.0)
        return error if self.whiten is None else (self.whiten @ error[..., None])[..., 0]

    def whitened(self, jacobian: np.ndarray) -> np.ndarray:
        """Converts derivatives [T, P, 2, N] of predicted points to the units of ``residual``."""
        return jacobian if self.whiten is None else self.whiten @ jacobian


@dataclass(frozen=True)
class HeadModel:
    """Parameters that all frames share.

    Attributes:
        focal: px.
        center: principal point [2], px.
        shape: neutral shape [P, 3], cm.
        basis: deformations [K, P, 3], in cm at a coefficient of 1.
        noise_px: [P], scale of the tracker's error per point.
    """

    focal: float
    center: np.ndarray
    shape: np.ndarray
    basis: np.ndarray
    noise_px: np.ndarray


@dataclass(frozen=True)
class Views:
    """Parameters of each frame.

    Attributes:
        rotation: world to camera, [T, 3, 3].
        translation: world to camera, [T, 3], cm.
        coefficients: [T, K].
    """

    rotation: np.ndarray
    translation: np.ndarray
    coefficients: np.ndarray

    def part(self, index: np.ndarray | slice) -> Views:
        """Selects frames."""
        return Views(self.rotation[index], self.translation[index], self.coefficients[index])

    def moved(self, step: np.ndarray) -> Views:
        """Rotates each view by ``step[:, :3]`` (rad, camera axes, about the head's origin), then translates it (cm)."""
        rotation = rotation_matrix(step[:, :3]) @ self.rotation
        return replace(self, rotation=rotation, translation=self.translation + step[:, 3:6])


def positions(head: HeadModel, views: Views) -> np.ndarray:
    """Deformed points in head space, cm [T, P, 3]."""
    deformed = np.einsum("tk,kpc->tpc", views.coefficients, head.basis, optimize=True)
    return head.shape[None] + deformed


def image_points(head: HeadModel, views: Views) -> np.ndarray:
    """Projected points, px [T, P, 2]."""
    in_camera = positions(head, views) @ views.rotation.transpose(0, 2, 1) + views.translation[:, None]
    return head.focal * in_camera[..., :2] / in_camera[..., 2:] + head.center


def linearise(head: HeadModel, views: Views) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Projected points and their derivatives.

    Returns:
        Points, px [T, P, 2]; their derivative by a step of the view [T, P, 2, 6] (see ``Views.moved``); and by the
        position in head space [T, P, 2, 3].
    """
    rotated = positions(head, views) @ views.rotation.transpose(0, 2, 1)
    in_camera = rotated + views.translation[:, None]
    inverse = head.focal / in_camera[..., 2]
    by_position = np.zeros((*in_camera.shape[:2], 2, 3))  # in camera axes
    by_position[..., 0, 0] = by_position[..., 1, 1] = inverse
    by_position[..., :, 2] = -inverse[..., None] * in_camera[..., :2] / in_camera[..., 2:]
    by_view = np.concatenate([-by_position @ cross_matrix(rotated), by_position], axis=-1)
    return inverse[..., None] * in_camera[..., :2] + head.center, by_view, by_position @ views.rotation[:, None]
