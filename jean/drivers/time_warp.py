"""Dynamic time warping: aligns the frames of two recordings of one sentence (Eq. 3)."""

from __future__ import annotations

import numpy as np

from jean.errors import SetupError


def exact_path(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The monotone path of least cost between two sequences, from the complete cost table.

    Args:
        a: features [m1, D].
        b: features [m2, D]. The cost of a pair of frames is their Euclidean distance.

    Returns:
        Pairs (frame of ``a``, frame of ``b``), int [N, 2], from (0, 0) to the last frames.
    """
    cost = _distances(np.asarray(a, np.float64), np.asarray(b, np.float64))
    total = np.full((len(a) + 1, len(b) + 1), np.inf)
    total[0, 0] = 0.0
    for i in range(len(a)):
        for j in range(len(b)):
            total[i + 1, j + 1] = cost[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    path = [(len(a) - 1, len(b) - 1)]
    while path[-1] != (0, 0):
        i, j = path[-1]
        # the diagonal stands first and wins ties: it repeats fewer frames
        steps = ((total[i, j], (i - 1, j - 1)), (total[i, j + 1], (i - 1, j)), (total[i + 1, j], (i, j - 1)))
        path.append(min(steps, key=lambda step: step[0])[1])
    return np.array(path[::-1])


def fast_path(a: np.ndarray, b: np.ndarray, radius: int = 1) -> np.ndarray:
    """The path of FastDTW, computed from coarse to fine: close to the path of least cost, but not always equal.

    Args:
        a: features [m1, D].
        b: features [m2, D].
        radius: how far the path at each resolution may deviate from that of the coarser one, frames.

    Returns:
        Pairs (frame of ``a``, frame of ``b``), int [N, 2], from (0, 0) to the last frames.

    Raises:
        SetupError: the package fastdtw cannot be loaded.
    """
    try:
        from fastdtw import fastdtw
    except ImportError as error:
        raise SetupError(
            f"fastdtw cannot be loaded ({error}).", "Run: pip install fastdtw, or --set dtw=exact"
        ) from error
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    _, path = fastdtw(a, b, radius=radius, dist=lambda x, y: float(np.linalg.norm(x - y)))
    return np.array(path)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances [m1, m2] of all pairs of rows."""
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))
