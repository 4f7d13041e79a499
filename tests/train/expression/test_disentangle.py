"""What is shared goes one way, what is private the other."""

from __future__ import annotations

import numpy as np
from linear_probe import ridge_r2

from jean.train.expression.disentangle import part


def mixed(rows: int = 3000, seed: int = 0):
    """Twelve numbers: three shared tracks and four private ones, mixed, with a little noise."""
    random = np.random.default_rng(seed)
    mix = np.random.default_rng(99).standard_normal((7, 12))
    said = random.standard_normal((rows, 3))
    felt = [random.standard_normal((rows, 4)) for _ in range(2)]
    noise = [0.02 * random.standard_normal((rows, 12)) for _ in range(2)]
    sides = [np.concatenate([said, f], 1) @ mix + n + 5 for f, n in zip(felt, noise, strict=True)]
    return said, felt, sides


def test_shared_and_private_tracks_are_parted():
    said, felt, (a, b) = mixed()
    found = part(a, b)
    assert (found.correlations > 0.6).sum() == 3 and found.lip.shape == found.expression.shape == (12, 6)
    lip, expression = (a - found.mean) @ found.lip, (a - found.mean) @ found.expression
    half = slice(None, 2000), slice(2000, None)

    def r2(x, y):
        return ridge_r2(x[half[0]], y[half[0]], x[half[1]], y[half[1]])

    assert r2(lip, said) > 0.98 and r2(expression, felt[0]) > 0.98
    assert abs(r2(lip, felt[0])) < 0.05 and abs(r2(expression, said)) < 0.05
    assert (lip[:, 3:] == 0).all()


def test_it_does_not_matter_who_is_a():
    _, _, (a, b) = mixed()
    one, two = part(a, b), part(b, a)
    assert np.allclose(one.correlations, two.correlations)
    assert np.allclose(np.abs(one.lip[:, :3]), np.abs(two.lip[:, :3]), atol=1e-6)


def test_with_nothing_shared_everything_is_private():
    _, felt, _ = mixed()
    found = part(np.repeat(felt[0], 2, 1), np.repeat(felt[1], 2, 1))
    assert (found.lip == 0).all()
