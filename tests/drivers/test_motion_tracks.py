"""Motion that is computed where it is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from jean.drivers.motion_sampling import Sampled
from jean.drivers.motion_tracks import Motion, RepeatedMotion, SampledMotion
from jean.drivers.motion_vector import GAZE_UNIT_DEG, POSE_UNIT, MotionBasis
from tests.helpers.tiny_motion import random_network


@pytest.fixture
def sampled() -> SampledMotion:
    """Six frames of random components on random axes."""
    random, network = np.random.default_rng(0), random_network()
    basis = MotionBasis.from_arrays(
        {name: getattr(network, name).numpy() for name in ("face_mean", "face_axes", "face_dual")}
        | {name: getattr(network, name).numpy() for name in ("lip_mean", "lip_axes", "lip_dual")}
    )
    vectors, lips, held = (random.standard_normal((6, width)).astype(np.float32) for width in (19, 8, 8))
    closure = np.linspace(0, 1, 6, dtype=np.float32)
    return SampledMotion(basis, Sampled(vectors, lips, closure, np.array([1]), np.array([0.2])), held)


def test_components_become_offsets_gaze_and_pose(sampled):
    frame, vector = sampled.at(np.array([2.0])), sampled.sampled.vectors[2].astype(float)
    assert np.allclose(frame.upper.ravel(), sampled.basis.face_mean + vector[:10] @ sampled.basis.face_axes)
    assert np.allclose(frame.held.ravel(), sampled.held[2] @ sampled.basis.lip_axes)  # without the mean
    assert np.allclose(frame.gaze_deg, GAZE_UNIT_DEG * vector[10:12]) and frame.closure == pytest.approx(0.4)
    assert np.allclose(frame.pose, POSE_UNIT * vector[13:]) and np.allclose(sampled.pose[2], frame.pose[0])


def test_between_frames_motion_is_linear(sampled):
    places = np.array([0.25, 4.5])
    whole = sampled.at(np.arange(6.0))
    for name, values in vars(sampled.at(places)).items():
        rows = getattr(whole, name)
        assert np.allclose(values[0], 0.75 * rows[0] + 0.25 * rows[1], atol=1e-6), name
        assert np.allclose(values[1], 0.5 * rows[4] + 0.5 * rows[5], atol=1e-6), name
        assert np.allclose(getattr(whole.at(places), name), values, atol=1e-6), name


def test_a_repeated_motion_blends_its_end_and_its_beginning():
    closure = np.array([0.0, 0.5, 1.0])
    motion = Motion(*(np.zeros((3, *shape)) for shape in ((31, 2), (23, 2), (23, 2), (2,))), closure, np.ones((3, 6)))
    again = RepeatedMotion(motion, np.array([0.0, 1.0, 2.0, 0.0, 1.0]))
    assert len(again) == 5 and again.pose.shape == (5, 6)
    assert again.at(np.array([1.5, 2.5, 4.0])).closure.tolist() == [0.75, 0.5, 0.5]
