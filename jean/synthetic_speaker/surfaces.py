"""Smooth functions that shapes are made of, and grids of triangles."""

from __future__ import annotations

import numpy as np


def bump(x: np.ndarray, center: float | np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """A Gaussian of height 1."""
    return np.exp(-0.5 * ((x - center) / width) ** 2)


def smoothstep(x: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high`` (reversed if low > high), smooth between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def smooth_min(a: np.ndarray, b: np.ndarray, softness: float) -> np.ndarray:
    """A minimum whose corner is rounded over about ``softness``."""
    h = np.clip(0.5 + 0.5 * (b - a) / softness, 0.0, 1.0)
    return b * (1 - h) + a * h - softness * h * (1 - h)


def grid_triangles(grid: np.ndarray, flip: bool = False) -> np.ndarray:
    """Two triangles for each cell of a grid [rows, columns] of vertex numbers: int [M, 3]."""
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]
    first, second = np.stack([a, c, b], -1), np.stack([b, c, d], -1)
    triangles = np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3)])
    return triangles[:, ::-1] if flip else triangles
