"""Bundle adjustment of one head over many frames: the solvers behind ``camera_fit``.

A frame t sees point p of the head at the projection of ``rotation[t] @ x + translation[t]``, where
``x = shape[p] + sum_k coefficients[t, k] * basis[k, p]`` lies in head space (cm). Unknown are one focal
length, one shape and one basis for the clip, a rigid view and K coefficients for each frame. Given the
shape, frames do not see one another; given the views, points do not: each half is solved in blocks.

Residuals are weighted as if they came from a Cauchy distribution with a scale for each point
(``noise_px``), so a landmark that the tracker loses for a moment does not move the head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jean.geometry import cross_matrix, nearest_rotation, rotation_matrix

CAUCHY = 2.4  # in units of the noise: 95 % as efficient as least squares where the noise is Gaussian
FOCAL_PRIOR = 0.25  # standard deviation of log(focal / guess): about a quarter either way
SHAPE_PRIOR_CM = 0.5  # how far a person's points lie from the mean face, each axis
NOISE_FLOOR_PX = 0.15


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


def robust_weights(residual: np.ndarray, mask: np.ndarray, noise_px: np.ndarray) -> np.ndarray:
    """Weights [T, P] of squared residuals [T, P, 2] (px); 0 where ``mask`` [T, P] is False."""
    ratio = (residual**2).sum(-1) / noise_px**2
    return np.where(mask, 1.0 / noise_px**2 / (1.0 + ratio / CAUCHY**2), 0.0)


def robust_cost(residual: np.ndarray, mask: np.ndarray, noise_px: np.ndarray) -> np.ndarray:
    """The cost that ``robust_weights`` descend, of each frame [T]."""
    ratio = (residual**2).sum(-1) / noise_px**2
    return np.where(mask, 0.5 * CAUCHY**2 * np.log1p(ratio / CAUCHY**2), 0.0).sum(-1)


def rough_views(points: np.ndarray, weights: np.ndarray, shape: np.ndarray, focal: float, center: np.ndarray) -> Views:
    """Views without coefficients from scaled-orthographic projection: a start for ``solve_views``.

    Args:
        points: px [T, P, 2], finite.
        weights: [T, P]; frames need at least four points that do not lie in one plane.
        shape: [P, 3], cm.
        focal: px.
        center: px [2].
    """
    design = np.concatenate([shape, np.ones((len(shape), 1))], axis=1)
    normal = np.einsum("tp,pi,pj->tij", weights, design, design, optimize=True)
    right = np.einsum("tp,pi,tpc->tic", weights, design, points - center, optimize=True)
    affine = np.linalg.solve(normal + 1e-9 * np.eye(4) * np.trace(normal, axis1=1, axis2=2)[:, None, None], right)
    rows = affine[:, :3].transpose(0, 2, 1)  # [T, 2, 3]
    scale = np.linalg.norm(rows, axis=-1).mean(-1)
    full = np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None] / scale[:, None, None]], axis=1)
    depth = focal / scale
    translation = np.concatenate([affine[:, 3] * (depth / focal)[:, None], depth[:, None]], axis=1)
    return Views(nearest_rotation(full), translation, np.zeros((len(points), 0)))


def solve_views(
    tracks: Tracks,
    head: Head,
    views: Views,
    iterations: int = 8,
    move: bool = True,
) -> Views:
    """Views and coefficients of each frame with the head fixed (Levenberg-Marquardt, frames in one batch).

    The coefficients have a standard normal prior; ``head.basis`` carries their scale.

    Args:
        tracks: what is seen.
        head: the shared part.
        views: the start.
        iterations: at most.
        move: False keeps the poses and solves for the coefficients only.
    """
    count, k = len(tracks.points), len(head.basis)
    if k == 0 and not move:
        return views
    first = 0 if move else 6
    damping = np.full(count, 1e-4)
    cost = _frame_cost(tracks, head, views)
    for _ in range(iterations):
        predicted, by_view, by_head = linearise(head, views)
        by_view, by_head = tracks.whitened(by_view), tracks.whitened(by_head)
        residual = tracks.residual(predicted)
        weight = robust_weights(residual, tracks.mask, head.noise_px)
        by_coefficient = np.einsum("tpij,kpj->tpik", by_head, head.basis, optimize=True)
        jacobian = np.concatenate([by_view, by_coefficient], axis=-1)[..., first:].reshape(
            count, 2 * tracks.points.shape[1], 6 + k - first
        )
        weighted = jacobian * np.repeat(weight, 2, axis=1)[..., None]
        normal = weighted.transpose(0, 2, 1) @ jacobian
        gradient = (weighted.transpose(0, 2, 1) @ residual.reshape(count, -1, 1))[..., 0]
        index = np.arange(6 - first, 6 + k - first)
        normal[:, index, index] += 1.0
        gradient[:, 6 - first :] -= views.coefficients
        diagonal = np.arange(normal.shape[1])
        normal[:, diagonal, diagonal] *= 1.0 + damping[:, None]
        normal[:, diagonal, diagonal] += 1e-9
        step = np.linalg.solve(normal, gradient[..., None])[..., 0]
        full = np.concatenate([np.zeros((count, first)), step], axis=1)
        trial = views.moved(full)
        trial = replace(trial, coefficients=views.coefficients + full[:, 6:])
        trial_cost = _frame_cost(tracks, head, trial)
        better = trial_cost < cost
        views = Views(
            np.where(better[:, None, None], trial.rotation, views.rotation),
            np.where(better[:, None], trial.translation, views.translation),
            np.where(better[:, None], trial.coefficients, views.coefficients),
        )
        gain = np.where(better, cost - trial_cost, 0.0)
        cost = np.where(better, trial_cost, cost)
        damping = np.clip(np.where(better, damping * 0.1, damping * 10), 1e-7, 1e3)
        if gain.max(initial=0.0) < 1e-4 * cost.max(initial=1.0) and better.any():
            break
    return views


def _frame_cost(tracks: Tracks, head: Head, views: Views) -> np.ndarray:
    residual = tracks.residual(image_points(head, views))
    cost = robust_cost(residual, tracks.mask, head.noise_px) + 0.5 * (views.coefficients**2).sum(-1)
    return np.where(np.isfinite(cost), cost, np.inf)


def adjust(
    tracks: Tracks,
    head: Head,
    views: Views,
    prior_shape: np.ndarray,
    prior_focal: float,
    iterations: int = 12,
    shape_prior_cm: float = SHAPE_PRIOR_CM,
) -> tuple[Head, Views]:
    """Focal length, shape and views together; basis and coefficients stay.

    Points are eliminated (Schur complement), so an iteration costs O(P T²): meant for some hundred
    frames, not for a whole clip.

    Args:
        tracks: what is seen.
        head: the start.
        views: the start.
        prior_shape: [P, 3], cm, a mean face; also fixes scale and axes.
        prior_focal: px.
        iterations: at most.
        shape_prior_cm: standard deviation of the shape about ``prior_shape``.
    """
    count, total = tracks.points.shape[:2]
    size = 6 * count + 1
    damping = 1e-4
    stiffness = 1.0 / shape_prior_cm**2

    def cost_of(head: Head, views: Views) -> float:
        residual = tracks.residual(image_points(head, views))
        cost = robust_cost(residual, tracks.mask, head.noise_px).sum()
        cost += 0.5 * stiffness * ((head.shape - prior_shape) ** 2).sum()
        cost += 0.5 * (np.log(head.focal / prior_focal) / FOCAL_PRIOR) ** 2
        return float(cost) if np.isfinite(cost) else np.inf

    cost = cost_of(head, views)
    for _ in range(iterations):
        predicted, by_view, by_head = linearise(head, views)
        by_view, by_head = tracks.whitened(by_view), tracks.whitened(by_head)
        residual = tracks.residual(predicted)
        weight = robust_weights(residual, tracks.mask, head.noise_px)
        by_focal = tracks.whitened((predicted - head.center)[..., None])  # by log(focal)
        left = np.concatenate([by_view, by_focal], axis=-1)  # [T, P, 2, 7]
        weighted = left * weight[..., None, None]
        blocks = np.einsum("tpia,tpib->tab", weighted, left, optimize=True)
        slope = np.einsum("tpia,tpi->ta", weighted, residual, optimize=True)
        normal = np.zeros((size, size))
        for t in range(count):
            rows = slice(6 * t, 6 * t + 6)
            normal[rows, rows] = blocks[t, :6, :6]
            normal[rows, -1] = normal[-1, rows] = blocks[t, :6, 6]
        normal[-1, -1] = blocks[:, 6, 6].sum() + 1.0 / FOCAL_PRIOR**2
        gradient = np.append(
            slope[:, :6].ravel(), slope[:, 6].sum() - np.log(head.focal / prior_focal) / FOCAL_PRIOR**2
        )

        point_block = np.einsum("tpic,tp,tpid->pcd", by_head, weight, by_head, optimize=True)
        point_block += stiffness * np.eye(3)
        point_slope = np.einsum("tpic,tp,tpi->pc", by_head, weight, residual, optimize=True)
        point_slope -= stiffness * (head.shape - prior_shape)
        cross = np.einsum("tpia,tpic->ptac", weighted, by_head, optimize=True)  # [P, T, 7, 3]
        coupling = np.zeros((total, 3, size))
        coupling[:, :, :-1] = cross[:, :, :6].transpose(0, 3, 1, 2).reshape(total, 3, -1)
        coupling[:, :, -1] = cross[:, :, 6].sum(1)

        for _ in range(6):
            damped = point_block * (1 + damping * np.eye(3))
            root = np.linalg.inv(np.linalg.cholesky(damped))
            half = (root @ coupling).reshape(-1, size)
            half_slope = (root @ point_slope[..., None]).reshape(-1)
            reduced = normal - half.T @ half
            reduced[np.diag_indices(size)] += damping * np.diag(normal) + 1e-9
            step = np.linalg.solve(reduced, gradient - half.T @ half_slope)
            back = point_slope - coupling @ step
            shape = head.shape + np.linalg.solve(damped, back[..., None])[..., 0]
            new_head = replace(head, shape=shape, focal=float(head.focal * np.exp(np.clip(step[-1], -0.5, 0.5))))
            new_views = views.moved(step[:-1].reshape(count, 6))
            new_cost = cost_of(new_head, new_views)
            if new_cost < cost:
                break
            damping = min(damping * 10, 1e6)
        else:
            break
        gain = cost - new_cost
        head, views, cost, damping = new_head, new_views, new_cost, max(damping * 0.2, 1e-8)
        if gain < 1e-5 * cost:
            break
    return head, views


def point_noise(residual: np.ndarray, mask: np.ndarray, floor_px: float = NOISE_FLOOR_PX) -> np.ndarray:
    """Robust scale of each point's error, px [P]: of one coordinate, from the median length over frames."""
    length = np.where(mask, np.linalg.norm(residual, axis=-1), np.nan)
    seen = mask.any(0)
    scale = np.full(length.shape[1], np.nan)
    # 1.1774: the median length of a two-dimensional Gaussian of unit deviation.
    scale[seen] = np.nanmedian(length[:, seen], axis=0) / 1.1774
    scale[~seen] = np.nanmedian(scale) if seen.any() else 1.0
    return np.maximum(scale, floor_px)
