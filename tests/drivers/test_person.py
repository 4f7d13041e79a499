"""The stored person, and the transfer of a source's expression to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jean.drivers.driver_support import DriverSupport
from jean.drivers.offsets import fit_offsets
from jean.drivers.person import Person, read_person, write_person
from jean.drivers.person_frames import open_person
from jean.geometry import Camera, refocus
from tests.helpers.tiny_clip import make_clip


def person(expression, offsets):
    support = DriverSupport.fit(expression, offsets, np.eye(4)[None].repeat(2, 0), None)
    matrix = fit_offsets(expression, offsets, ridge=1e-3)
    camera = Camera(100.0, (32.0, 32.0), 64, 64)
    return Person(
        camera, np.eye(4)[None], expression, offsets, matrix, np.zeros((64, 64, 3), np.uint8), Path("a"), {}, support
    )


def moving(count=300):
    random = np.random.default_rng(0)
    expression = random.random((count, 3))
    slopes = random.normal(size=(3, 136)) * 0.1
    return expression, slopes, (expression @ slopes + 0.05).reshape(count, 68, 2)


def test_offsets_are_predicted_from_coefficients():
    expression, slopes, offsets = moving()
    target = person(expression, offsets)
    other = np.random.default_rng(1).random((10, 3))
    assert np.allclose(target.predict_offsets(other).reshape(10, -1), other @ slopes + 0.05, atol=1e-3)


def test_offsets_of_the_persons_own_clip_are_unchanged():
    expression, _, offsets = moving()
    measured = offsets + np.random.default_rng(2).normal(size=offsets.shape) * 0.02
    assert np.allclose(person(expression, measured).retarget_offsets(expression, measured), measured, atol=1e-6)


def test_the_mean_comes_from_the_coefficients_and_motion_from_the_landmarks():
    expression, slopes, offsets = moving()
    target = person(expression, offsets)
    smiling = np.tile([[0.9, 0.2, 0.5]], (20, 1))
    motion = np.random.default_rng(3).normal(size=(20, 68, 2)) * 0.1  # the source's mean shape smiles as well
    offsets_of_target = target.retarget_offsets(smiling, motion + 0.3)
    assert np.allclose(offsets_of_target.mean(0).ravel(), smiling[0] @ slopes + 0.05, atol=1e-3)
    assert np.allclose(offsets_of_target - offsets_of_target.mean(0), motion - motion.mean(0))
    assert np.allclose(target.retarget_offsets(smiling, None), offsets_of_target.mean(0), atol=1e-3)


def test_a_person_is_written_and_read(tmp_path):
    data = open_person([make_clip(tmp_path / "a")])
    write_person(tmp_path, data, data.clips)
    stored = read_person(tmp_path)
    assert np.array_equal(stored.expression, data.expression)
    assert np.array_equal(stored.offsets, data.offsets) and stored.expression_to_offsets.shape == (3, 136)
    assert (
        np.isclose(stored.camera.focal_px, data.clips[0].camera.focal_px) and stored.clip == (tmp_path / "a").resolve()
    )


def test_the_pose_support_does_not_depend_on_the_focal_length_that_a_clip_was_fitted_with(tmp_path):
    clips = [make_clip(tmp_path / "a"), make_clip(tmp_path / "b", seed=1)]
    data = open_person(clips)
    write_person(tmp_path, data, data.clips)
    alike = read_person(tmp_path).support.pose
    second = data.clip_of == 1
    data.focal_px[second] *= 1.3
    data.camera_to_world[second] = refocus(data.camera_to_world[second], 1.3)
    write_person(tmp_path, data, data.clips)
    stored = read_person(tmp_path).support.pose
    np.testing.assert_allclose(stored.mean, alike.mean, atol=1e-4)
    np.testing.assert_allclose(stored.motion.radius, alike.motion.radius, rtol=1e-3)
