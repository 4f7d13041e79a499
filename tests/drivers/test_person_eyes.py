"""The person's eyes: lids that follow, limits, storage."""

from __future__ import annotations

import numpy as np

from jean.drivers.eyes import CLOSURE, GAZE
from jean.drivers.person_eyes import PersonEyes, fit_lids, gaze_concepts, lid_offsets
from jean.landmarks import EYES


def moving(count=400, seed=0):
    """Eye values [T, 4], offsets whose lids follow them exactly, and expression vectors that tell them."""
    random = np.random.default_rng(seed)
    values = np.concatenate([random.normal(size=(count, 2)) * [8.0, 4.0], random.random((count, 2)) ** 4 * 0.9], 1)
    slopes = random.normal(size=(4, 24)) * 0.02
    offsets = random.normal(size=(count, 68, 2))
    offsets[:, EYES] = (values @ slopes + 0.3).reshape(count, 12, 2)
    return values.astype(np.float32), offsets, np.concatenate([values @ random.normal(size=(4, 5)), values], 1)


def test_lids_are_a_linear_function_of_the_eyes():
    values, offsets, _ = moving()
    coefficients = fit_lids(values, offsets)
    assert coefficients.shape == (5, 24)
    np.testing.assert_allclose(lid_offsets(coefficients, values), offsets[:, EYES], atol=2e-3)


def test_gaze_and_closure_stay_within_the_training():
    values, offsets, vectors = moving()
    eyes = PersonEyes.fit(values, offsets, vectors, np.arange(300), 200)
    assert eyes.values.shape == (200, 4) and np.allclose(eyes.closed, values[:300, CLOSURE].max(0))
    inner = np.array([[5.0, -2.0, 0.1, 0.2]])
    limited, gaze, closure = eyes.limit(inner)
    assert np.allclose(limited, inner) and gaze[0] == closure[0] == 1
    limited, gaze, closure = eyes.limit(np.array([[80.0, 0.0, 1.0, 0.0]]))
    assert 15 < limited[0, 0] < 40 and gaze[0] < 0.5
    assert limited[0, 2] == eyes.closed[0] and np.isclose(closure[0], eyes.closed[0])
    assert eyes.limit(np.array([[0.0, 0.0, 1e-12, 0.3]]))[2][0] == 1  # almost open eyes lack nothing


def test_vectors_tell_the_eyes_of_a_source_without_irises():
    values, offsets, vectors = moving()
    eyes = PersonEyes.fit(values, offsets, vectors, np.arange(300), 200)
    told = eyes.told_by(vectors[300:])
    np.testing.assert_allclose(told[:, GAZE], values[300:, GAZE], atol=0.3)
    np.testing.assert_allclose(told[:, CLOSURE], values[300:, CLOSURE], atol=0.02)


def test_each_side_of_the_gaze_is_a_concept():
    assert gaze_concepts(np.array([[3.0, -2.0, 0.5, 0.25]])).tolist() == [[3, 0, 0, 2, 0.5, 0.25]]


def test_eyes_are_stored_and_read():
    values, offsets, vectors = moving()
    eyes = PersonEyes.fit(values, offsets, vectors, np.arange(300), 200)
    read = PersonEyes.from_arrays(eyes.arrays())
    wanted = np.array([[30.0, 10.0, 1.0, 0.5]])
    for one, two in zip(eyes.limit(wanted), read.limit(wanted), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(read.told_by(vectors), eyes.told_by(vectors))
