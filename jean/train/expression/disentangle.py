"""Parting e_l from e_e where Eq. 4 does not: in closed form, after training. Not in the paper.

Nothing in Eq. 4 keeps speech out of e_e or expression out of e_l. But the aligned pairs that it is trained on hold
the answer: what A and B share at the same moment is what is said, whatever the emotion. So e_l becomes the directions
of (e_l, e_e) in which A and B agree (canonical correlation), and e_e what is left of (e_l, e_e) when everything that
these directions tell linearly is taken out. What they tell of each other not linearly stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHARED = 0.6  # correlation from which a direction counts as shared; emotions of pairs that differ stay below 0
RIDGE = 1e-4  # of the mean variance: directions that hold next to nothing are noise


@dataclass(frozen=True)
class Parting:
    """Maps of (e_l, e_e), [2W], onto new ones: ``(values - mean) @ lip`` and ``(values - mean) @ expression``.

    Attributes:
        mean: [2W]. lip, expression: [2W, W]; columns beyond what was found are zero.
        correlations: of all directions, falling.
    """

    mean: np.ndarray
    lip: np.ndarray
    expression: np.ndarray
    correlations: np.ndarray


def part(first: np.ndarray, second: np.ndarray, shared: float = SHARED) -> Parting:
    """Finds the maps.

    Args:
        first, second: [N, 2W], e_l and e_e side by side of two emotions at the same moments.
        shared: least correlation of a direction that goes to e_l.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    both = np.concatenate([first, second])
    mean = both.mean(0)
    a, b = first - mean, second - mean
    count, width = len(both), both.shape[1] // 2
    variance = (a.T @ a + b.T @ b) / count
    variance += RIDGE * np.trace(variance) / len(variance) * np.eye(len(variance))
    # either of the two may be A
    together = (a.T @ b + b.T @ a) / count
    root = np.linalg.inv(np.linalg.cholesky(variance))
    values, vectors = np.linalg.eigh(root @ together @ root.T)
    order = np.argsort(-values)
    correlations, directions = values[order], root.T @ vectors[:, order]
    kept = directions[:, : min(width, int((correlations > shared).sum()))]
    # what is left of the values when their regression on the kept directions is taken out
    left = np.eye(len(variance)) - kept @ kept.T @ variance
    spreads, axes = np.linalg.eigh(left.T @ variance @ left)
    rest = left @ axes[:, np.argsort(-spreads)[:width]]
    lip = np.zeros((len(variance), width))
    lip[:, : kept.shape[1]] = kept
    return Parting(mean, lip, rest, correlations)
