"""Rigid surface of a fitted head, and its texture over a clip.

The surface is a triangulation of the fitted points as seen from the front; its weight is lower where
deformations move it. The texture is a mean plus a part that is linear in the deformation coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.preparation.head_fit.camera_fit import CameraFit

NOISE_FLOOR = 2.0  # grey levels of 255
SOFT_CM = 0.3  # a point whose deformations have this standard deviation has half the weight


@dataclass(frozen=True)
class Surface:
    """N texels of the rigid head surface.

    Attributes:
        positions: [N, 3], head space, cm.
        normals: [N, 3], outwards.
        trust: [N] in (0, 1], weight: how rigid the surface is there.
    """

    positions: np.ndarray
    normals: np.ndarray
    trust: np.ndarray


@dataclass(frozen=True)
class Texture:
    """Grey levels of the surface without slow changes: ``mean + coefficients @ modes``.

    Attributes:
        mean: [N].
        modes: [K, N].
        noise: [N], standard deviation of a frame from its prediction.
    """

    mean: np.ndarray
    modes: np.ndarray
    noise: np.ndarray


def head_surface(fit: CameraFit, step_cm: float) -> Surface:
    """The surface between the fitted points as seen from the front, with a texel every ``step_cm``."""
    from scipy.spatial import Delaunay

    mesh = Delaunay(fit.shape[:, :2])
    low, high = fit.shape[:, :2].min(0), fit.shape[:, :2].max(0)
    x, y = np.meshgrid(np.arange(low[0], high[0], step_cm), np.arange(low[1], high[1], step_cm))
    grid = np.stack([x.ravel(), y.ravel()], 1)
    triangle = mesh.find_simplex(grid)
    grid, triangle = grid[triangle >= 0], triangle[triangle >= 0]
    transform = mesh.transform[triangle]
    first = np.einsum("nij,nj->ni", transform[:, :2], grid - transform[:, 2])
    barycentric = np.concatenate([first, 1 - first.sum(1, keepdims=True)], axis=1)
    corners = mesh.simplices[triangle]
    a, b, c = np.moveaxis(fit.shape[mesh.simplices], 1, 0)
    normal = np.cross(b - a, c - a)
    normal *= -np.sign(normal[:, 2:])  # outwards means towards the camera, -z
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    motion = np.sqrt((fit.basis**2).sum((0, 2)))  # coefficients have unit variance
    trust = 1 / (1 + (motion / SOFT_CM) ** 2)
    positions = np.einsum("nk,nkc->nc", barycentric, fit.shape[corners])
    return Surface(positions, normal[triangle], (barycentric * trust[corners]).sum(1))


def learn_texture(
    texels: np.ndarray, visible: np.ndarray, coefficients: np.ndarray, motion: np.ndarray, trust: np.ndarray
) -> tuple[Texture, np.ndarray]:
    """Learns a texture and leave-one-out predictions from frames that are nearly aligned.

    The part of a mode that looks like a small motion of the head is removed: deformation coefficients contain
    the slow drift of the landmarks, which would otherwise count as texture.

    Args:
        texels: [T, N]; any value where not ``visible``.
        visible: bool [T, N].
        coefficients: [T, K].
        motion: [N, 6], derivative of the texture by a step of the view.
        trust: [N], weights.

    Returns:
        The texture, and the prediction of each frame from the other frames, [T, N].
    """
    count, k = coefficients.shape
    observations = np.maximum(visible.sum(0), 1)
    mean = (texels * visible).sum(0) / observations
    deviation = np.where(visible, texels - mean, 0.0)  # hidden texels count as average
    offset = coefficients.mean(0)
    centred = coefficients - offset
    gram = centred.T @ centred + 0.1 * count * np.eye(k)
    modes = np.linalg.solve(gram, centred.T @ deviation) if k else np.zeros((0, texels.shape[1]))
    weighted = motion * trust[:, None]
    modes = modes - np.linalg.solve(weighted.T @ motion + 1e-9 * np.eye(6), weighted.T @ modes.T).T @ motion.T
    leverage = 1.0 / count + (np.einsum("tk,tk->t", centred, np.linalg.solve(gram, centred.T).T) if k else 0.0)
    fitted = mean + centred @ modes
    # a frame contributes its leverage times its error to its own fit (exact where it is visible in every frame)
    error = np.where(visible, texels - fitted, 0.0) / (1 - np.broadcast_to(leverage, (count,)))[:, None]
    predicted = np.where(visible, texels - error, fitted)
    length = np.where(visible, np.abs(error), np.nan)
    reliable = visible.sum(0) >= max(3, count // 20)
    noise = np.full(texels.shape[1], 255.0)  # rarely visible texels get almost no weight
    noise[reliable] = 1.4826 * np.nanmedian(length[:, reliable], axis=0)  # median absolute error to Gaussian std
    return Texture(mean - offset @ modes, modes, np.maximum(noise, NOISE_FLOOR)), predicted
