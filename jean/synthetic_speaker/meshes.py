"""Triangle meshes: smooth profile functions, grids of triangles, vertex normals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TexturedMesh:
    """One mesh of the speaker with its texture coordinates.

    Attributes:
        name: of its texture in the atlas (``speaker.KINDS``).
        points: float64 [N, 3], in the coordinates of ``head_shape.py``, cm.
        triangles: int [M, 3], counter-clockwise seen from outside.
        uv: float64 [N, 2], 0 to 1 in the mesh's own texture.
        shade: float64 [N], ambient occlusion: 1 is unoccluded, 0 is black.
        weld: int [N], see ``vertex_normals``.
    """

    name: str
    points: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    shade: np.ndarray
    weld: np.ndarray


def grid_mesh(name: str, points: np.ndarray, uv: np.ndarray, shade: np.ndarray, flip: bool = False) -> TexturedMesh:
    """Builds a mesh from a grid of points.

    Args:
        name: of the texture.
        points: [rows, columns, 3].
        uv: [rows, columns, 2].
        shade: broadcastable to [rows, columns].
        flip: reverse the triangles, for surfaces whose grid runs the other way round.
    """
    rows, columns = points.shape[:2]
    grid = np.arange(rows * columns).reshape(rows, columns)
    flat = points.reshape(-1, 3)
    shade = np.broadcast_to(shade, (rows, columns)).reshape(-1)
    return TexturedMesh(name, flat, grid_triangles(grid, flip), uv.reshape(-1, 2), shade.copy(), weld_numbers(flat))


def grid_triangles(grid: np.ndarray, flip: bool = False) -> np.ndarray:
    """Two triangles per cell of a grid [rows, columns] of vertex numbers: int [M, 3]."""
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]
    first, second = np.stack([a, c, b], -1), np.stack([b, c, d], -1)
    triangles = np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3)])
    return triangles[:, ::-1] if flip else triangles


def weld_numbers(points: np.ndarray) -> np.ndarray:
    """A number per vertex, int [N], equal for vertices at the same position (to 1e-5 cm)."""
    return np.unique(np.round(points, 5), axis=0, return_inverse=True)[1].reshape(-1)


def vertex_normals(points: np.ndarray, triangles: np.ndarray, weld: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [N, 3].

    Args:
        points: [N, 3].
        triangles: int [M, 3].
        weld: int [N]; vertices with the same number share one normal, so that seams stay smooth.
    """
    a, b, c = (points[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    corner = weld[triangles].T.reshape(-1)
    count = int(weld.max()) + 1
    total = np.stack([np.bincount(corner, np.tile(face[:, k], 3), count) for k in range(3)], -1)
    unit = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)
    return unit[weld]


def bump(x: np.ndarray, center: float | np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """A Gaussian of height 1 with standard deviation ``width``."""
    return np.exp(-0.5 * ((x - center) / width) ** 2)


def smoothstep(x: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """A smooth step from 0 at ``low`` to 1 at ``high``; falls instead if ``low > high``."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def smooth_min(a: np.ndarray, b: np.ndarray, softness: float) -> np.ndarray:
    """The minimum of two arrays, rounded where they differ by less than ``softness``."""
    h = np.clip(0.5 + 0.5 * (b - a) / softness, 0.0, 1.0)
    return b * (1 - h) + a * h - softness * h * (1 - h)
