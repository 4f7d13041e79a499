"""LEACE: what is erased, and what stays."""

from __future__ import annotations

import numpy as np

from jean.drivers.erasure import Eraser


def mixed(count=2000, seed=0):
    """Vectors [T, 6] of two concepts and four other sources, mixed."""
    random = np.random.default_rng(seed)
    concept, others = random.normal(size=(count, 2)), random.normal(size=(count, 4))
    return np.concatenate([concept, others], 1) @ random.normal(size=(6, 6)) + 3.0, concept, others


def explained(vectors, target):
    """R² of linear regression."""
    inputs = np.column_stack([vectors, np.ones(len(vectors))])
    residual = target - inputs @ np.linalg.lstsq(inputs, target, rcond=None)[0]
    return 1 - residual.var(0).sum() / target.var(0).sum()


def test_no_linear_reader_tells_the_concept_and_the_rest_stays():
    vectors, concept, others = mixed()
    eraser = Eraser.fit(vectors, concept)
    erased = eraser.erase(vectors)
    assert explained(vectors, concept) > 0.999 and explained(erased, concept) < 1e-9
    # the sources are correlated by chance (2,000 frames); what is left tells the others as well as they can be told
    assert explained(erased, others) > 0.995
    np.testing.assert_allclose(erased.mean(0), vectors.mean(0), atol=1e-9)
    np.testing.assert_allclose(eraser.erase(erased), erased, atol=1e-9)  # a projection
    assert np.linalg.matrix_rank(erased - erased.mean(0), tol=1e-6) == 4


def test_no_smaller_change_erases_the_concept():
    vectors, concept, _ = mixed()
    erased = Eraser.fit(vectors, concept).erase(vectors)
    # leaving out what regression on the concept explains erases it as well, but so does it on new frames only with the
    # concept at hand; as a map of the vectors alone, the orthogonal projection is the usual choice
    slopes = np.linalg.lstsq(concept - concept.mean(0), vectors - vectors.mean(0), rcond=None)[0]
    basis = np.linalg.qr(slopes.T)[0]
    projected = vectors - (vectors - vectors.mean(0)) @ basis @ basis.T
    assert explained(projected, concept) < 1e-9
    assert np.square(erased - vectors).sum() < np.square(projected - vectors).sum()


def test_correlations_by_chance_and_constant_directions_stay():
    random = np.random.default_rng(1)
    vectors, concept = random.normal(size=(100, 8)), random.normal(size=(100, 3))
    vectors[:, 7] = 2.0
    assert np.array_equal(Eraser.fit(vectors, concept, least=0.6).erase(vectors), vectors)
    mixed_in = vectors + 3 * concept[:, :1]
    eraser = Eraser.fit(mixed_in, concept, least=0.6)
    assert eraser.correlations.shape == (1,) and eraser.correlations[0] > 0.9
