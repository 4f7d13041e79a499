"""Separates e_l from e_e in closed form, after training, where Eq. 4 leaves them mixed. Not in the paper.

Eq. 4 keeps neither speech out of e_e nor expression out of e_l. The aligned training pairs can separate them: at the
same moment, A and B agree in what is said and differ in emotion. The new e_l consists of the directions of (e_l, e_e)
in which A and B correlate (canonical correlation analysis). The new e_e is the residual of (e_l, e_e) after a linear
regression on these directions. Nonlinear dependence between the two remains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Correlation between A and B from which a direction counts as speech. Directions of emotion correlate negatively,
# because the emotions of a pair differ.
MIN_CORRELATION = 0.6

# Added to the variance of every direction, as a fraction of the mean variance: directions of almost no variance are
# noise, and their correlations mean nothing.
RIDGE = 1e-4


@dataclass(frozen=True)
class DisentanglingMaps:
    """Linear maps from (e_l, e_e), [2W], to disentangled embeddings.

    The new e_l is ``(values - mean) @ lip``, the new e_e is ``(values - mean) @ expression``.

    Attributes:
        mean: [2W].
        lip: [2W, W]; columns beyond the number of shared directions are zero.
        expression: [2W, W].
        correlations: [2W], canonical correlations of all directions, descending.
    """

    mean: np.ndarray
    lip: np.ndarray
    expression: np.ndarray
    correlations: np.ndarray


def disentangle(first: np.ndarray, second: np.ndarray, min_correlation: float = MIN_CORRELATION) -> DisentanglingMaps:
    """Computes the maps from the embeddings of aligned pairs. Exchanging the two sides changes nothing.

    Args:
        first: [N, 2W], (e_l, e_e) of one emotion.
        second: [N, 2W], (e_l, e_e) of another emotion at the same N moments of the sentence.
        min_correlation: least correlation of a direction that belongs to e_l.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    both = np.concatenate([first, second])
    mean = both.mean(0)
    a, b = first - mean, second - mean
    count, width = len(both), both.shape[1] // 2
    covariance = (a.T @ a + b.T @ b) / count
    covariance += RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    cross_covariance = (a.T @ b + b.T @ a) / count  # symmetric, as either side may be A
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    values, vectors = np.linalg.eigh(whitening @ cross_covariance @ whitening.T)
    order = np.argsort(-values)
    correlations, directions = values[order], whitening.T @ vectors[:, order]
    shared = directions[:, : min(width, int((correlations > min_correlation).sum()))]
    # residual of the regression on the shared directions, reduced to its principal axes
    residual = np.eye(len(covariance)) - shared @ shared.T @ covariance
    variances, axes = np.linalg.eigh(residual.T @ covariance @ residual)
    expression = residual @ axes[:, np.argsort(-variances)[:width]]
    lip = np.zeros((len(covariance), width))
    lip[:, : shared.shape[1]] = shared
    return DisentanglingMaps(mean, lip, expression, correlations)
