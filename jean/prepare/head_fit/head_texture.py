"""The rigid surface of a fitted head, and what it looks like over a clip.

The surface is spanned by the fitted points as seen from the front; where deformations move it, it is
trusted less. The texture is a mean and what is linear in the deformation coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.prepare.head_fit.camera_fit import CameraFit

NOISE_FLOOR = 2.0  # grey levels of 255
SOFT_CM = 0.3  # a point that deforms by this much counts half


@dataclass(frozen=True)
class Surface:
    """N texels of the rigid head surface.

    Attributes:
        positions: [N, 3], head space, cm.
        normals: [N, 3], outwards.
        trust: [N] in (0, 1], how rigid the surface is there.
    """

    positions: np.ndarray
    normals: np.ndarray
    trust: np.ndarray


@dataclass(frozen=True)
class Texture:
    """What the surface looks like: ``mean + coefficients @ modes``.

    Attributes:
        mean: [N], grey levels without slow changes.
        modes: [K, N].
        noise: [N], deviation of a frame from its prediction.
    """

    mean: np.ndarray
    modes: np.ndarray
    noise: np.ndarray


def head_surface(fit: CameraFit, step_cm: float) -> Surface:
    """The surface spanned by the fitted points as seen from the front, a texel every ``step_cm``."""
    from scipy.spatial import Delaunay

    mesh = Delaunay(fit.shape[:, :2])
    low, high = fit.shape[:, :2].min(0), fit.shape[:, :2].max(0)
    x, y = np.meshgrid(np.arange(low[0], high[0], step_cm), np.arange(low[1], high[1], step_cm))
    grid = np.stack([x.ravel(), y.ravel()], 1)
    triangle = mesh.find_simplex(grid)
    grid, triangle = grid[triangle >= 0], triangle[triangle >= 0]
    transform = mesh.transform[triangle]
    first = np.einsum("nij,nj->ni", transform[:, :2], grid - transform[:, 2])
    share = np.concatenate([first, 1 - first.sum(1, keepdims=True)], axis=1)
    corners = mesh.simplices[triangle]
    a, b, c = np.moveaxis(fit.shape[mesh.simplices], 1, 0)
    normal = np.cross(b - a, c - a)
    normal *= -np.sign(normal[:, 2:])  # outwards is towards the camera, -z
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    motion = np.sqrt((fit.basis**2).sum((0, 2)))  # coefficients have unit variance
    trust = 1 / (1 + (motion / SOFT_CM) ** 2)
    positions = np.einsum("nk,nkc->nc", share, fit.shape[corners])
    return Surface(positions, normal[triangle], (share * trust[corners]).sum(1))


def learn_texture(
    texels: np.ndarray, seen: np.ndarray, coefficients: np.ndarray, motion: np.ndarray, trust: np.ndarray
) -> tuple[Texture, np.ndarray]:
    """Texture and leave-one-out predictions from frames that are nearly aligned.

    What a mode shares with a small motion of the head is taken out of it: deformation coefficients
    know of the landmarks' wandering, and would otherwise explain it away.

    Args:
        texels: [T, N]; any value where not ``seen``.
        seen: bool [T, N].
        coefficients: [T, K].
        motion: [N, 6], how the texture changes with a step of the view.
        trust: [N], weights.

    Returns:
        the texture, and for each frame what the others make of it, [T, N].
    """
    count, k = coefficients.shape
    times = np.maximum(seen.sum(0), 1)
    mean = (texels * seen).sum(0) / times
    rest = np.where(seen, texels - mean, 0.0)  # unseen texels count as average
    offset = coefficients.mean(0)
    centred = coefficients - offset
    gram = centred.T @ centred + 0.1 * count * np.eye(k)
    modes = np.linalg.solve(gram, centred.T @ rest) if k else np.zeros((0, texels.shape[1]))
    weighted = motion * trust[:, None]
    modes = modes - np.linalg.solve(weighted.T @ motion + 1e-9 * np.eye(6), weighted.T @ modes.T).T @ motion.T
    leverage = 1.0 / count + (np.einsum("tk,tk->t", centred, np.linalg.solve(gram, centred.T).T) if k else 0.0)
    fitted = mean + centred @ modes
    # What a frame adds to its own prediction is its leverage times its deviation (exact where all is seen).
    error = np.where(seen, texels - fitted, 0.0) / (1 - np.broadcast_to(leverage, (count,)))[:, None]
    predicted = np.where(seen, texels - error, fitted)
    length = np.where(seen, np.abs(error), np.nan)
    enough = seen.sum(0) >= max(3, count // 20)
    noise = np.full(texels.shape[1], 255.0)  # hardly ever seen: no say
    noise[enough] = 1.4826 * np.nanmedian(length[:, enough], axis=0)
    return Texture(mean - offset @ modes, modes, np.maximum(noise, NOISE_FLOOR)), predicted
