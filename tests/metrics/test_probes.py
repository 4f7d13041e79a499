"""Probes on data with a known answer."""

from __future__ import annotations

import numpy as np

from jean.metrics.probes import class_accuracy, kernel_r2, ridge_predict, ridge_r2


def tracks(seed: int = 0, rows: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((rows, 5))
    return inputs, inputs[:, :2] @ np.array([[1.0, 3.0], [0.5, -1.0]])


def test_r2_is_one_for_a_linear_target_and_zero_for_an_independent_one():
    x, y = tracks()
    assert ridge_r2(x[:700], y[:700], x[700:], y[700:]) > 0.9999
    other = np.random.default_rng(1).standard_normal((1000, 2))
    assert abs(ridge_r2(x[:700], other[:700], x[700:], other[700:])) < 0.05


def test_noise_reduces_r2_by_its_fraction_of_the_variance():
    x, y = tracks()
    noisy = y + y.std(0) * np.random.default_rng(2).standard_normal(y.shape)  # half of the variance
    assert abs(ridge_r2(x[:700], noisy[:700], x[700:], noisy[700:]) - 0.5) < 0.08


def test_r2_is_independent_of_scale_and_offset():
    x, y = tracks()
    plain = ridge_r2(x[:700], y[:700], x[700:], y[700:])
    assert np.isclose(ridge_r2(100 * x[:700] + 7, y[:700], 100 * x[700:] + 7, y[700:]), plain, atol=1e-4)


def test_r2_equals_scikit_learns():
    from sklearn.linear_model import Ridge

    x, y = tracks()
    y = y + np.random.default_rng(3).standard_normal(y.shape)
    scaled = (x - x[:700].mean(0)) / x[:700].std(0)
    errors = []
    for power in range(-4, 4):
        model = Ridge(alpha=10.0**power * 700).fit(scaled[:700], y[:700])
        predicted = model.predict(scaled[700:])
        errors.append(1 - np.square(predicted - y[700:]).sum() / np.square(y[700:] - y[700:].mean(0)).sum())
    assert min(abs(ridge_r2(x[:700], y[:700], x[700:], y[700:]) - error) for error in errors) < 1e-6


def test_r2_of_a_constant_target_is_nan():
    x, _ = tracks()
    assert np.isnan(ridge_r2(x[:700], np.ones((700, 1)), x[700:], np.ones((300, 1))))


def test_r2_is_that_of_the_predictions():
    x, y = tracks()
    y = y + np.random.default_rng(3).standard_normal(y.shape)
    guess = ridge_predict(x[:700], y[:700], x[700:])
    assert guess.shape == (300, 2)
    unexplained = np.square(guess - y[700:]).sum() / np.square(y[700:] - y[700:].mean(0)).sum()
    assert np.isclose(ridge_r2(x[:700], y[:700], x[700:], y[700:]), 1 - unexplained)


def test_the_kernel_reads_what_no_line_does():
    random = np.random.default_rng(0)
    x = random.standard_normal((1200, 3))
    y = np.square(x[:, :1])  # uncorrelated with x
    assert abs(ridge_r2(x[:900], y[:900], x[900:], y[900:])) < 0.05
    assert kernel_r2(x[:900], y[:900], x[900:], y[900:]) > 0.95
    other = random.standard_normal((1200, 1))
    assert kernel_r2(x[:900], other[:900], x[900:], other[900:]) < 0.05


def test_the_kernel_probe_equals_scikit_learns():
    from sklearn.kernel_ridge import KernelRidge

    from jean.metrics.probes import _kernel

    x, y = tracks(rows=200)
    model = KernelRidge(kernel="rbf", gamma=1 / (2 * 1.5**2), alpha=1e-3 * 150).fit(x[:150], y[:150] - y[:150].mean(0))
    expected = model.predict(x[150:]) + y[:150].mean(0)
    np.testing.assert_allclose(_kernel(x[:150], y[:150], x[150:], 1.5, 1e-3), expected, atol=1e-8)


def test_classes_are_told_by_their_means():
    random = np.random.default_rng(0)
    classes = np.repeat(["angry", "happy", "sad"], 100)
    x = random.standard_normal((300, 4)) + np.repeat(np.eye(3, 4) * 8, 100, 0)
    order = random.permutation(300)
    train, test = order[:200], order[200:]
    assert class_accuracy(x[train], classes[train], x[test], classes[test]) > 0.97
    assert class_accuracy(x[train] * 0, classes[train], x[test] * 0, classes[test]) < 0.6
