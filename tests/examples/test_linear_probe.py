"""Ridge R² where the answer is known."""

from __future__ import annotations

import numpy as np
from linear_probe import ridge_predict, ridge_r2


def tracks(seed: int = 0, rows: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((rows, 5))
    return inputs, inputs[:, :2] @ np.array([[1.0, 3.0], [0.5, -1.0]])


def test_a_linear_target_is_found_and_an_independent_one_is_not():
    x, y = tracks()
    assert ridge_r2(x[:700], y[:700], x[700:], y[700:]) > 0.9999
    other = np.random.default_rng(1).standard_normal((1000, 2))
    assert abs(ridge_r2(x[:700], other[:700], x[700:], other[700:])) < 0.05


def test_noise_is_the_share_that_is_missing():
    x, y = tracks()
    noisy = y + y.std(0) * np.random.default_rng(2).standard_normal(y.shape)  # half of the variance
    assert abs(ridge_r2(x[:700], noisy[:700], x[700:], noisy[700:]) - 0.5) < 0.08


def test_scale_and_offset_do_not_count():
    x, y = tracks()
    plain = ridge_r2(x[:700], y[:700], x[700:], y[700:])
    assert np.isclose(ridge_r2(100 * x[:700] + 7, y[:700], 100 * x[700:] + 7, y[700:]), plain, atol=1e-4)


def test_agrees_with_scikit_learn():
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


def test_a_target_that_stands_still_has_no_answer():
    x, _ = tracks()
    assert np.isnan(ridge_r2(x[:700], np.ones((700, 1)), x[700:], np.ones((300, 1))))


def test_predictions_are_what_r2_is_of():
    x, y = tracks()
    y = y + np.random.default_rng(3).standard_normal(y.shape)
    told = ridge_predict(x[:700], y[:700], x[700:])
    assert told.shape == (300, 2)
    rest = np.square(told - y[700:]).sum() / np.square(y[700:] - y[700:].mean(0)).sum()
    assert np.isclose(ridge_r2(x[:700], y[:700], x[700:], y[700:]), 1 - rest)
