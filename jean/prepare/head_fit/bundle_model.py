"""One head over many frames: what is unknown, and where its points are seen.

A frame t sees point p of the head at the projection of ``rotation[t] @ x + translation[t]``, where
``x = shape[p] + sum_k coefficients[t, k] * basis[k, p]`` lies in head space (cm). Unknown are one focal
length, one shape and one basis for the clip, a rigid view and K coefficients for each frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jean.geometry import cross_matrix, rotation_matrix


@dataclass(frozen=True)
class Tracks:
    """Where points were seen.

    Attributes:
        points: px [T, P, 2]; any value where not seen.
        mask: bool [T, P], what is seen and may be used.
        whiten: [T, P, 2, 2], errors are measured after this matrix: along an edge a point can be told
            less well than across it. None: in px, the same in all directions.
    """

    points: np.ndarray
    mask: np.ndarray
    whiten: np.ndarray | None = None

    def part(self, index: np.ndarray | slice) -> Tracks:
        """The frames of ``index``."""
        return Tracks(self.points[index], self.mask[index], None if self.whiten is None else self.whiten[index])

    def residual(self, predicted: np.ndarray) -> np.ndarray:
        """Whitened errors of predicted points [T, P, 2]; 0 where not seen."""
        error = np.where(self.mask[..., None], self.points - predicted, 0.0)
        return error if self.whiten is None else (self.whiten @ error[..., None])[..., 0]

    def whitened(self, jacobian: np.ndarray) -> np.ndarray:
        """Derivatives [T, P, 2, N] of predicted points in the units of ``residual``."""
        return jacobian if self.whiten is None else self.whiten @ jacobian


@dataclass(frozen=True)
class Head:
    """What all frames share.

    Attributes:
        focal: px.
        center: principal point [2], px.
        shape: neutral shape [P, 3], cm.
        basis: deformations [K, P, 3], cm for a coefficient of 1.
        noise_px: [P], scale of the tracker's error for each point.
    """

    focal: float
    center: np.ndarray
    shape: np.ndarray
    basis: np.ndarray
    noise_px: np.ndarray


@dataclass(frozen=True)
class Views:
    """What each frame has of its own.

    Attributes:
        rotation: world to camera, [T, 3, 3].
        translation: world to camera, [T, 3], cm.
        coefficients: [T, K].
    """

    rotation: np.ndarray
    translation: np.ndarray
    coefficients: np.ndarray

    def part(self, index: np.ndarray | slice) -> Views:
        """The frames of ``index``."""
        return Views(self.rotation[index], self.translation[index], self.coefficients[index])

    def moved(self, step: np.ndarray) -> Views:
        """Each view turned by ``step[:, :3]`` (rad, camera axes, about the head's origin) and shifted."""
        rotation = rotation_matrix(step[:, :3]) @ self.rotation
        return replace(self, rotation=rotation, translation=self.translation + step[:, 3:6])


def positions(head: Head, views: Views) -> np.ndarray:
    """Points in head space, cm, [T, P, 3]."""
    deformed = np.einsum("tk,kpc->tpc", views.coefficients, head.basis, optimize=True)
    return head.shape[None] + deformed


def image_points(head: Head, views: Views) -> np.ndarray:
    """Predicted points, px [T, P, 2]."""
    seen = positions(head, views) @ views.rotation.transpose(0, 2, 1) + views.translation[:, None]
    return head.focal * seen[..., :2] / seen[..., 2:] + head.center


def linearise(head: Head, views: Views) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted points and their derivatives.

    Returns:
        px [T, P, 2]; by view step [T, P, 2, 6] (see ``Views.moved``); by head-space position [T, P, 2, 3].
    """
    turned = positions(head, views) @ views.rotation.transpose(0, 2, 1)
    seen = turned + views.translation[:, None]
    inverse = head.focal / seen[..., 2]
    by_seen = np.zeros((*seen.shape[:2], 2, 3))
    by_seen[..., 0, 0] = by_seen[..., 1, 1] = inverse
    by_seen[..., :, 2] = -inverse[..., None] * seen[..., :2] / seen[..., 2:]
    by_view = np.concatenate([-by_seen @ cross_matrix(turned), by_seen], axis=-1)
    return inverse[..., None] * seen[..., :2] + head.center, by_view, by_seen @ views.rotation[:, None]
