"""Time warping (Eq. 3) against an exhaustive search, and the fast path against the exact one."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from jean.drivers.time_warp import exact_path, fast_path


def path_cost(a: np.ndarray, b: np.ndarray, path: np.ndarray) -> float:
    """Sum of the distances along a path [N, 2]."""
    return float(np.linalg.norm(a[path[:, 0]] - b[path[:, 1]], axis=-1).sum())


def least_cost(a: np.ndarray, b: np.ndarray) -> float:
    """Least cost over all monotone paths, by exhaustive search."""

    @cache
    def best(i: int, j: int) -> float:
        cost = float(np.linalg.norm(a[i] - b[j]))
        if i == j == 0:
            return cost
        predecessors = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        return cost + min(best(*p) for p in predecessors if min(p) >= 0)

    return best(len(a) - 1, len(b) - 1)


@pytest.mark.parametrize("seed", range(8))
def test_the_exact_path_has_the_least_cost_of_all_paths(seed):
    random = np.random.default_rng(seed)
    a, b = random.standard_normal((random.integers(1, 9), 3)), random.standard_normal((random.integers(1, 9), 3))
    path = exact_path(a, b)
    assert np.isclose(path_cost(a, b, path), least_cost(a, b))
    fast = fast_path(a, b)
    assert path_cost(a, b, fast) >= least_cost(a, b) - 1e-9
    for each in (path, fast):
        assert tuple(each[0]) == (0, 0) and tuple(each[-1]) == (len(a) - 1, len(b) - 1)
        steps = np.diff(each, axis=0)
        assert ((steps >= 0) & (steps <= 1)).all() and (steps.sum(1) > 0).all()


def test_a_sequence_and_its_stretched_copy_align_without_cost():
    a = np.random.default_rng(0).standard_normal((20, 4))
    slow = np.repeat(a, 2, 0)
    path = exact_path(a, slow)
    assert path_cost(a, slow, path) < 1e-6 and (path[:, 1] // 2 == path[:, 0]).all()
    assert path_cost(a, slow, fast_path(a, slow)) < 1e-6


def test_equal_sequences_align_frame_by_frame():
    a = np.random.default_rng(0).standard_normal((15, 2))
    assert (exact_path(a, a) == np.arange(15)[:, None]).all()


def test_a_large_radius_makes_the_fast_path_exact():
    random = np.random.default_rng(5)
    a, b = random.standard_normal((30, 2)).cumsum(0), random.standard_normal((24, 2)).cumsum(0)
    assert np.isclose(path_cost(a, b, fast_path(a, b, radius=30)), path_cost(a, b, exact_path(a, b)))
