"""Disentangling sends shared directions to e_l and the others to e_e."""

from __future__ import annotations

import numpy as np

from jean.metrics.probes import ridge_r2
from jean.train.expression.disentangle import disentangle


def mixed(rows: int = 3000, seed: int = 0):
    """Two sides of twelve numbers: mixtures of three shared and four private tracks, with a little noise."""
    random = np.random.default_rng(seed)
    mix = np.random.default_rng(99).standard_normal((7, 12))
    speech = random.standard_normal((rows, 3))
    emotion = [random.standard_normal((rows, 4)) for _ in range(2)]
    noise = [0.02 * random.standard_normal((rows, 12)) for _ in range(2)]
    sides = [np.concatenate([speech, e], 1) @ mix + n + 5 for e, n in zip(emotion, noise, strict=True)]
    return speech, emotion, sides


def test_shared_and_private_tracks_are_separated():
    speech, emotion, (a, b) = mixed()
    maps = disentangle(a, b)
    assert (maps.correlations > 0.6).sum() == 3 and maps.lip.shape == maps.expression.shape == (12, 6)
    lip, expression = (a - maps.mean) @ maps.lip, (a - maps.mean) @ maps.expression
    half = slice(None, 2000), slice(2000, None)

    def r2(x, y):
        return ridge_r2(x[half[0]], y[half[0]], x[half[1]], y[half[1]])

    assert r2(lip, speech) > 0.98 and r2(expression, emotion[0]) > 0.98
    assert abs(r2(lip, emotion[0])) < 0.05 and abs(r2(expression, speech)) < 0.05
    assert (lip[:, 3:] == 0).all()


def test_exchanging_a_and_b_changes_nothing():
    _, _, (a, b) = mixed()
    one, two = disentangle(a, b), disentangle(b, a)
    assert np.allclose(one.correlations, two.correlations)
    assert np.allclose(np.abs(one.lip[:, :3]), np.abs(two.lip[:, :3]), atol=1e-6)


def test_without_shared_directions_everything_goes_to_the_expression():
    _, emotion, _ = mixed()
    maps = disentangle(np.repeat(emotion[0], 2, 1), np.repeat(emotion[1], 2, 1))
    assert (maps.lip == 0).all()
