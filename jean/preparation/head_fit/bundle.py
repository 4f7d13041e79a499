"""Bundle adjustment of one head over many frames: solvers for the model of ``head_model``.

Frames are independent given the shape, and points are independent given the views, so each of the two is
solved in blocks.

Residuals are weighted as samples of a Cauchy distribution with one scale per point (``noise_px``), so a
landmark that the tracker loses for a moment does not move the head.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jean.geometry import nearest_rotation
from jean.preparation.head_fit.head_model import HeadModel, PointTracks, Views, image_points, linearise

CAUCHY = 2.4  # Cauchy scale in units of the noise: 95 % of the efficiency of least squares on Gaussian noise
FOCAL_PRIOR = 0.25  # standard deviation of log(focal / guess): about 25 % in either direction
SHAPE_PRIOR_CM = 0.5  # standard deviation of a person's points from the mean face, per axis
NOISE_FLOOR_PX = 0.15  # no tracker is more exact; keeps weights finite


def robust_weights(residual: np.ndarray, mask: np.ndarray, noise_px: np.ndarray) -> np.ndarray:
    """Weights [T, P] of squared residuals [T, P, 2] in px; 0 where ``mask`` [T, P] is False."""
    ratio = (residual**2).sum(-1) / noise_px**2
    return np.where(mask, 1.0 / noise_px**2 / (1.0 + ratio / CAUCHY**2), 0.0)


def robust_cost(residual: np.ndarray, mask: np.ndarray, noise_px: np.ndarray) -> np.ndarray:
    """The robust cost per frame [T], which iterations weighted by ``robust_weights`` decrease."""
    ratio = (residual**2).sum(-1) / noise_px**2
    return np.where(mask, 0.5 * CAUCHY**2 * np.log1p(ratio / CAUCHY**2), 0.0).sum(-1)


def rough_views(points: np.ndarray, weights: np.ndarray, shape: np.ndarray, focal: float, center: np.ndarray) -> Views:
    """Approximate views, without coefficients, from scaled-orthographic projection: a start for ``solve_views``.

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
    tracks: PointTracks,
    head: HeadModel,
    views: Views,
    iterations: int = 8,
    move: bool = True,
) -> Views:
    """Solves view and coefficients of each frame with the head fixed (Levenberg-Marquardt, all frames in one batch).

    The coefficients have a standard normal prior; ``head.basis`` carries their scale.

    Args:
        tracks: image points.
        head: parameters of the clip.
        views: the start.
        iterations: maximum number of iterations.
        move: False keeps the poses and solves only the coefficients.
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


def _frame_cost(tracks: PointTracks, head: HeadModel, views: Views) -> np.ndarray:
    residual = tracks.residual(image_points(head, views))
    cost = robust_cost(residual, tracks.mask, head.noise_px) + 0.5 * (views.coefficients**2).sum(-1)
    return np.where(np.isfinite(cost), cost, np.inf)


def adjust(
    tracks: PointTracks,
    head: HeadModel,
    views: Views,
    prior_shape: np.ndarray,
    prior_focal: float,
    iterations: int = 12,
    shape_prior_cm: float = SHAPE_PRIOR_CM,
) -> tuple[HeadModel, Views]:
    """Solves focal length, shape and views together; basis and coefficients stay fixed.

    Points are eliminated (Schur complement), so an iteration costs O(P T²): for a few hundred frames, not for a
    whole clip.

    Args:
        tracks: image points.
        head: the start.
        views: the start.
        prior_shape: mean face [P, 3], cm; it also fixes scale and axes.
        prior_focal: expected focal length, px.
        iterations: maximum number of iterations.
        shape_prior_cm: standard deviation of the shape about ``prior_shape``.
    """
    count, total = tracks.points.shape[:2]
    size = 6 * count + 1
    damping = 1e-4
    stiffness = 1.0 / shape_prior_cm**2

    def cost_of(head: HeadModel, views: Views) -> float:
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
            point_gradient = point_slope - coupling @ step
            shape = head.shape + np.linalg.solve(damped, point_gradient[..., None])[..., 0]
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
    """Robust standard deviation of each point's error per coordinate, px [P], from the median length over frames."""
    length = np.where(mask, np.linalg.norm(residual, axis=-1), np.nan)
    observed = mask.any(0)
    scale = np.full(length.shape[1], np.nan)
    # 1.1774 is the median length of a two-dimensional Gaussian with unit standard deviation
    scale[observed] = np.nanmedian(length[:, observed], axis=0) / 1.1774
    scale[~observed] = np.nanmedian(scale) if observed.any() else 1.0
    return np.maximum(scale, floor_px)
