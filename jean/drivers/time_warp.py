"""Dynamic time warping: which frames of two recordings of one sentence belong together (Eq. 3)."""

from __future__ import annotations

import numpy as np

from jean.errors import SetupError


def exact_path(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """int [N, 2]: the cheapest monotone path from (0, 0) to the ends, by the whole table.

    Args:
        a: [m1, D]. b: [m2, D]. The cost of a pair of frames is their Euclidean distance.
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
        # the diagonal first where costs tie: fewer repeated frames
        steps = ((total[i, j], (i - 1, j - 1)), (total[i, j + 1], (i - 1, j)), (total[i + 1, j], (i, j - 1)))
        path.append(min(steps, key=lambda step: step[0])[1])
    return np.array(path[::-1])


def fast_path(a: np.ndarray, b: np.ndarray, radius: int = 1) -> np.ndarray:
    """int [N, 2]: the path of fastdtw, coarse to fine; near the cheapest, not always it.

    Args:
        a: [m1, D]. b: [m2, D].
        radius: how far the path of each resolution may leave that of the coarser one.

    Raises:
        SetupError: fastdtw is missing.
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


def path_cost(a: np.ndarray, b: np.ndarray, path: np.ndarray) -> float:
    """The sum of distances along a path [N, 2]."""
    return float(np.linalg.norm(np.asarray(a, np.float64)[path[:, 0]] - b[path[:, 1]], axis=-1).sum())


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))
