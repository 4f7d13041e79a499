"""How much of one set of tracks a linear map finds in another: R² of ridge regression on held-out data."""

from __future__ import annotations

import numpy as np

RIDGES = tuple(10.0**power for power in range(-4, 4))  # per row, inputs standardised


def ridge_predict(train_inputs: np.ndarray, train_targets: np.ndarray, test_inputs: np.ndarray) -> np.ndarray:
    """What a ridge regression makes of the test inputs: [M, K].

    The strength of the ridge is chosen on the last fifth of the training rows.

    Args:
        train_inputs: [N, D]. train_targets: [N, K]. Rows in an order in which the last fifth is other speech.
        test_inputs: [M, D].
    """
    x, y = np.asarray(train_inputs, np.float64), np.asarray(train_targets, np.float64)
    cut = len(x) - max(1, len(x) // 5)
    scores = [r2(_ridge(x[:cut], y[:cut], x[cut:], ridge), y[cut:]) for ridge in RIDGES]
    best = RIDGES[int(np.nanargmax(scores))] if np.isfinite(scores).any() else RIDGES[0]
    return _ridge(x, y, np.asarray(test_inputs, np.float64), best)


def ridge_r2(
    train_inputs: np.ndarray, train_targets: np.ndarray, test_inputs: np.ndarray, test_targets: np.ndarray
) -> float:
    """Share of the targets' variance that ``ridge_predict`` tells on the test data.

    What the targets' columns count is their variance. A constant guess (the training mean) has 0 or a little less;
    below that means worse.

    Args:
        train_inputs, train_targets, test_inputs: see ``ridge_predict``.
        test_targets: [M, K].

    Returns:
        1 for a perfect prediction; NaN where the targets do not vary.
    """
    return r2(ridge_predict(train_inputs, train_targets, test_inputs), np.asarray(test_targets, np.float64))


def r2(predicted: np.ndarray, targets: np.ndarray) -> float:
    """Share of the variance of targets [M, K] that is predicted; NaN where they do not vary."""
    total = np.square(targets - targets.mean(0)).sum()
    return float(1 - np.square(targets - predicted).sum() / total) if total > 0 else float("nan")


def _ridge(x: np.ndarray, y: np.ndarray, test_x: np.ndarray, ridge: float) -> np.ndarray:
    middle, centre = x.mean(0), y.mean(0)
    spread = np.maximum(x.std(0), 1e-9 * max(1.0, float(np.abs(x).max())))
    scaled = (x - middle) / spread
    weights = np.linalg.solve(scaled.T @ scaled + ridge * len(x) * np.eye(x.shape[1]), scaled.T @ (y - centre))
    return centre + (test_x - middle) / spread @ weights
