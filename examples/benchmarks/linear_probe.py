"""Linear probe: R² of a ridge regression from one set of tracks to another, on held-out data."""

from __future__ import annotations

import numpy as np

RIDGES = tuple(10.0**power for power in range(-4, 4))  # penalty per row, for standardised inputs


def ridge_predict(train_inputs: np.ndarray, train_targets: np.ndarray, test_inputs: np.ndarray) -> np.ndarray:
    """Predicts test targets by ridge regression; the penalty is chosen on the last fifth of the training rows.

    Args:
        train_inputs: [N, D], ordered such that the last fifth is other speech.
        train_targets: [N, K].
        test_inputs: [M, D].

    Returns:
        [M, K].
    """
    x, y = np.asarray(train_inputs, np.float64), np.asarray(train_targets, np.float64)
    cut = len(x) - max(1, len(x) // 5)
    scores = [r2(_ridge(x[:cut], y[:cut], x[cut:], ridge), y[cut:]) for ridge in RIDGES]
    best = RIDGES[int(np.nanargmax(scores))] if np.isfinite(scores).any() else RIDGES[0]
    return _ridge(x, y, np.asarray(test_inputs, np.float64), best)


def ridge_r2(
    train_inputs: np.ndarray, train_targets: np.ndarray, test_inputs: np.ndarray, test_targets: np.ndarray
) -> float:
    """R² of ``ridge_predict`` on test data, over all target columns weighted by their variance.

    Predicting the training mean gives 0 or slightly less.

    Args:
        train_inputs, train_targets, test_inputs: see ``ridge_predict``.
        test_targets: [M, K].

    Returns:
        1 for a perfect prediction; NaN if the targets are constant.
    """
    return r2(ridge_predict(train_inputs, train_targets, test_inputs), np.asarray(test_targets, np.float64))


def r2(predicted: np.ndarray, targets: np.ndarray) -> float:
    """Coefficient of determination of predictions of targets [M, K]; NaN if the targets are constant."""
    total = np.square(targets - targets.mean(0)).sum()
    return float(1 - np.square(targets - predicted).sum() / total) if total > 0 else float("nan")


def _ridge(x: np.ndarray, y: np.ndarray, test_x: np.ndarray, ridge: float) -> np.ndarray:
    x_mean, y_mean = x.mean(0), y.mean(0)
    x_std = np.maximum(x.std(0), 1e-9 * max(1.0, float(np.abs(x).max())))
    scaled = (x - x_mean) / x_std
    weights = np.linalg.solve(scaled.T @ scaled + ridge * len(x) * np.eye(x.shape[1]), scaled.T @ (y - y_mean))
    return y_mean + (test_x - x_mean) / x_std @ weights
