"""Probes: how much of some tracks a reader tells from other tracks, on held-out data. Linear, and by a kernel.

A linear probe says nothing about what a network can read. The kernel probe is ridge regression with a Gaussian kernel:
a smooth non-linear reader that has few settings, all chosen on training rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

RIDGES = tuple(10.0**power for power in range(-4, 4))  # penalty per row, for standardised inputs
KERNEL_RIDGES = tuple(10.0**power for power in range(-5, 0))
BANDWIDTHS = (0.5, 1.0, 2.0)  # of the kernel, in median distances between rows
KERNEL_ROWS = 1000  # training rows of the kernel probe at most, evenly spaced: memory grows with their square
COMPONENTS = 64  # principal components that the kernel probe reads at most: distances in more say little

Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # training inputs, their targets, new inputs


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
    fits: list[Fit] = [lambda a, b, c, ridge=ridge: _ridge(a, b, c, ridge) for ridge in RIDGES]  # type: ignore[misc]
    return _best(fits, x, y, np.asarray(test_inputs, np.float64))


def kernel_predict(train_inputs: np.ndarray, train_targets: np.ndarray, test_inputs: np.ndarray) -> np.ndarray:
    """``ridge_predict`` with a Gaussian kernel; its bandwidth is chosen like the penalty.

    Args:
        train_inputs: [N, D]; of more than ``KERNEL_ROWS`` rows evenly spaced ones are used.
        train_targets: [N, K].
        test_inputs: [M, D].
    """
    rows = np.unique(np.linspace(0, len(train_inputs) - 1, min(len(train_inputs), KERNEL_ROWS)).astype(int))
    x, y = np.asarray(train_inputs, np.float64)[rows], np.asarray(train_targets, np.float64)[rows]
    mean = x.mean(0)
    singular, axes = np.linalg.svd(x - mean, full_matrices=False)[1:]
    axes = axes[: min(COMPONENTS, int((singular > 1e-6 * max(singular[0], 1e-12)).sum()))].T
    x, test = (x - mean) @ axes, (np.asarray(test_inputs, np.float64) - mean) @ axes
    sample = x[:: max(1, len(x) // 300)]
    median = np.sqrt(max(float(np.median(_squares(sample, sample)[np.triu_indices(len(sample), 1)])), 1e-12))
    fits: list[Fit] = [
        lambda a, b, c, width=width, ridge=ridge: _kernel(a, b, c, median * width, ridge)  # type: ignore[misc]
        for width in BANDWIDTHS
        for ridge in KERNEL_RIDGES
    ]
    return _best(fits, x, y, test)


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


def kernel_r2(
    train_inputs: np.ndarray, train_targets: np.ndarray, test_inputs: np.ndarray, test_targets: np.ndarray
) -> float:
    """R² of ``kernel_predict`` on test data; see ``ridge_r2``."""
    return r2(kernel_predict(train_inputs, train_targets, test_inputs), np.asarray(test_targets, np.float64))


def class_accuracy(
    train_inputs: np.ndarray, train_classes: np.ndarray, test_inputs: np.ndarray, test_classes: np.ndarray
) -> float:
    """Fraction of test rows whose class a linear reader names: ridge regression on one column per class.

    Args:
        train_inputs: [N, D]; train_classes: names or numbers, [N]. Likewise for the test rows.
    """
    names = np.unique(train_classes)
    targets = (np.asarray(train_classes)[:, None] == names).astype(float)
    predicted = names[ridge_predict(train_inputs, targets, test_inputs).argmax(1)]
    return float((predicted == np.asarray(test_classes)).mean())


def r2(predicted: np.ndarray, targets: np.ndarray) -> float:
    """Coefficient of determination of predictions of targets [M, K]; NaN if the targets are constant."""
    total = np.square(targets - targets.mean(0)).sum()
    return float(1 - np.square(targets - predicted).sum() / total) if total > 0 else float("nan")


def _best(fits: Sequence[Fit], x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Predictions of the fit that does best on the last fifth of the training rows."""
    cut = len(x) - max(1, len(x) // 5)
    scores = [r2(fit(x[:cut], y[:cut], x[cut:]), y[cut:]) for fit in fits]
    best = fits[int(np.nanargmax(scores))] if np.isfinite(scores).any() else fits[0]
    return best(x, y, test)


def _ridge(x: np.ndarray, y: np.ndarray, test_x: np.ndarray, ridge: float) -> np.ndarray:
    x_mean, y_mean = x.mean(0), y.mean(0)
    x_std = np.maximum(x.std(0), 1e-9 * max(1.0, float(np.abs(x).max())))
    scaled = (x - x_mean) / x_std
    weights = np.linalg.solve(scaled.T @ scaled + ridge * len(x) * np.eye(x.shape[1]), scaled.T @ (y - y_mean))
    return np.asarray(y_mean + (test_x - x_mean) / x_std @ weights)


def _kernel(x: np.ndarray, y: np.ndarray, test_x: np.ndarray, width: float, ridge: float) -> np.ndarray:
    mean = y.mean(0)
    inner = np.exp(-_squares(x, x) / (2 * width**2)) + ridge * len(x) * np.eye(len(x))
    return np.asarray(mean + np.exp(-_squares(test_x, x) / (2 * width**2)) @ np.linalg.solve(inner, y - mean))


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances [A, B] of rows [A, D] and [B, D]."""
    return np.asarray(np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0))
