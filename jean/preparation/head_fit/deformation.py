"""Low-rank basis of a head's non-rigid motion, learned from the clip itself.

Basis and rigid pose can explain the same motion. Two rules separate them: basis vectors contain no rigid
motion of the points that move least (weighted by ``rigidity``), and their prior is narrow for those points
and wide for lips and eyelids.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jean.geometry import cross_matrix, nearest_rotation, rotation_matrix
from jean.preparation.head_fit.bundle import robust_weights, solve_views
from jean.preparation.head_fit.head_model import HeadModel, PointTracks, Views, image_points, linearise

RIGID_STD_CM = 0.04  # prior standard deviation of a basis vector at a rigid point
SOFT_STD_CM = 0.4  # at the softest point: several vectors together open the lips by a few centimetres


def basis_std_cm(rigidity: np.ndarray) -> np.ndarray:
    """Prior standard deviation of basis vectors, cm [P], for rigidity [P] in [0, 1]."""
    return RIGID_STD_CM**rigidity * SOFT_STD_CM ** (1 - rigidity)


def learn_basis(
    tracks: PointTracks,
    head: HeadModel,
    views: Views,
    rigidity: np.ndarray,
    components: int,
    rounds: int = 4,
) -> tuple[HeadModel, Views]:
    """Learns deformations by alternating least squares, starting from a PCA of the residuals.

    Args:
        tracks: image points.
        head: a rigid head; its basis is replaced.
        views: poses of the frames; their coefficients are replaced.
        rigidity: [P] in [0, 1], 1 for points that move with the skull.
        components: number of deformations K; at most half the number of frames is learned.
        rounds: number of alternations.

    Returns:
        The head with its basis, and the views with coefficients of unit variance.
    """
    count = len(tracks.points)
    k = min(components, count // 2)
    if k == 0:
        return replace(head, basis=np.zeros((0, *head.shape.shape))), replace(views, coefficients=np.zeros((count, 0)))
    std = basis_std_cm(rigidity)
    rigid = replace(head, basis=np.zeros((0, *head.shape.shape)))
    views_without = replace(views, coefficients=np.zeros((count, 0)))
    by_head = tracks.whitened(linearise(rigid, views_without)[2])
    residual = tracks.residual(image_points(rigid, views_without))
    # The most probable displacement in head space; depth, which a frame does not show, stays unchanged.
    ratio = (head.noise_px / std) ** 2
    gram = by_head @ by_head.swapaxes(-1, -2) + ratio[:, None, None] * np.eye(2)
    lift = (by_head.swapaxes(-1, -2) @ np.linalg.solve(gram, residual[..., None]))[..., 0]
    left, singular, right = np.linalg.svd((lift / std[:, None]).reshape(count, -1), full_matrices=False)
    coefficients = left[:, :k] * np.sqrt(count)
    basis = (right[:k] * singular[:k, None] / np.sqrt(count)).reshape(k, -1, 3) * std[:, None]
    head, views = replace(head, basis=basis), replace(views, coefficients=coefficients)
    head, views = fix_gauge(head, views, rigidity)
    for _ in range(rounds):
        views = solve_views(tracks, head, views, iterations=2)
        head = _solve_shapes(tracks, head, views, std)
        head, views = fix_gauge(head, views, rigidity)
    return head, solve_views(tracks, head, views, iterations=4)


def _solve_shapes(tracks: PointTracks, head: HeadModel, views: Views, std: np.ndarray) -> HeadModel:
    """Solves neutral shape and basis with the views fixed, point by point with 3 (K + 1) unknowns each."""
    predicted, _, by_head = linearise(head, views)
    by_head, residual = tracks.whitened(by_head), tracks.residual(predicted)
    weight = robust_weights(residual, tracks.mask, head.noise_px)
    k = len(head.basis)
    factor = np.concatenate([np.ones((len(views.coefficients), 1)), views.coefficients], axis=1)
    basis, shape = head.basis.copy(), head.shape.copy()
    # The prior of the shape is its present value, which bundle adjustment found; the prior of the basis is zero.
    stiffness = np.concatenate([np.full((len(std), 3), 1.0 / 0.2**2), np.repeat(1 / std[:, None] ** 2, 3 * k, 1)], 1)
    for p in range(len(std)):
        design = (by_head[:, p, :, None, :] * factor[:, None, :, None]).reshape(-1, 3 * (k + 1))
        scaled = design * np.repeat(weight[:, p], 2)[:, None]
        current = np.concatenate([np.zeros((1, 3)), basis[:, p]]).ravel()
        normal = scaled.T @ design + np.diag(stiffness[p])
        step = np.linalg.solve(normal, scaled.T @ residual[:, p].ravel() - stiffness[p] * current).reshape(-1, 3)
        shape[p] += step[0]
        basis[:, p] += step[1:]
    return replace(head, shape=shape, basis=basis)


def fix_gauge(head: HeadModel, views: Views, rigidity: np.ndarray) -> tuple[HeadModel, Views]:
    """Removes what basis, poses and shape can express alike.

    The rigid part of each basis vector moves into the poses, the mean deformation into the shape, and the
    coefficients are whitened. The projected points stay the same to first order.
    """
    k = len(head.basis)
    if k == 0:
        return head, views
    mean = views.coefficients.mean(0)
    shape = head.shape + np.einsum("k,kpc->pc", mean, head.basis)
    centred = views.coefficients - mean
    weight = rigidity / rigidity.sum()
    design = np.concatenate([-cross_matrix(shape), np.broadcast_to(np.eye(3), (len(shape), 3, 3))], axis=-1)
    normal = np.einsum("p,pia,pib->ab", weight, design, design, optimize=True)
    right = np.einsum("p,pia,kpi->ka", weight, design, head.basis, optimize=True)
    twist = np.linalg.solve(normal + 1e-9 * np.eye(6), right.T).T  # [K, 6]
    basis = head.basis - np.einsum("pia,ka->kpi", design, twist, optimize=True)
    motion = centred @ twist
    rotation = nearest_rotation(views.rotation @ rotation_matrix(motion[:, :3]))
    translation = views.translation + (views.rotation @ motion[:, 3:, None])[..., 0]
    covariance = centred.T @ centred / max(len(centred), 1)
    value, vector = np.linalg.eigh(covariance)
    value = np.maximum(value, 1e-8)
    root = vector * np.sqrt(value)  # [K, K]: covariance = root @ root.T
    whitened = centred @ (vector / np.sqrt(value))
    basis = np.einsum("kj,kpc->jpc", root, basis, optimize=True)
    # strongest first, so that callers can take the first few
    order = np.argsort(-(basis**2).sum((1, 2)))
    return replace(head, shape=shape, basis=basis[order]), Views(rotation, translation, whitened[:, order])
