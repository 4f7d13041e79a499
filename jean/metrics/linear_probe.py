"""How much of one set of tracks a linear map finds in another: R² of ridge regression on held-out data."""

from __future__ import annotations

import numpy as np

RIDGES = tuple(10.0**power for power in range(-4, 4))  # per row, inputs standardised


def ridge_r2(
    train_inputs: np.ndarray, train_targets: np.ndarray, test_inputs: np.ndarray, test_targets: np.ndarray
) -> float:
    """Share of the targets' variance that is predicted on the test data.

    The strength of the ridge is chosen on the last fifth of the training rows; what the targets' columns count is
    their variance. A constant guess (the training mean) has 0 or a little less; below that means worse.

    Args:
        train_inputs: [N, D]. train_targets: [N, K]. Rows in an order in which the last fifth is other speech.
        test_inputs: [M, D]. test_targets: [M, K].

    Returns:
        1 for a perfect prediction; NaN where the targets do not vary.
    """
    x, y = np.asarray(train_inputs, np.float64), np.asarray(train_targets, np.float64)
    cut = len(x) - max(1, len(x) // 5)
    scores = [_r2(x[:cut], y[:cut], x[cut:], y[cut:], ridge) for ridge in RIDGES]
    if not np.isfinite(scores).any():
        return float("nan")
    best = RIDGES[int(np.nanargmax(scores))]
    return _r2(x, y, np.asarray(test_inputs, np.float64), np.asarray(test_targets, np.float64), best)


def _r2(x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, ridge: float) -> float:
    middle, centre = x.mean(0), y.mean(0)
    spread = np.maximum(x.std(0), 1e-9 * max(1.0, float(np.abs(x).max())))
    scaled = (x - middle) / spread
    weights = np.linalg.solve(scaled.T @ scaled + ridge * len(x) * np.eye(x.shape[1]), scaled.T @ (y - centre))
    error = np.square(test_y - centre - (test_x - middle) / spread @ weights).sum()
    total = np.square(test_y - test_y.mean(0)).sum()
    return float(1 - error / total) if total > 0 else float("nan")
