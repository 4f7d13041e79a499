"""Landmark offsets from the rigid head, without the head pose."""

from __future__ import annotations

import numpy as np

from jean.clips.clip import Clip
from jean.drivers.offsets import face_offsets, lip_coordinates
from tests.helpers.tiny_clip import make_clip, rewrite


def test_a_rigid_face_has_no_offsets_in_any_pose(tmp_path):
    clip = Clip.open(make_clip(tmp_path / "a"))  # its landmarks are the rigid shape, projected
    offsets = face_offsets(clip)
    assert offsets.shape == (20, 68, 2) and np.abs(offsets).max() < 1e-4


def test_a_moved_lip_has_an_offset_in_cm(tmp_path):
    folder = make_clip(tmp_path / "a")
    clip = Clip.open(folder)
    landmarks, valid = clip.arrays["landmarks"].copy(), clip.arrays["valid"].copy()
    depth = 45.0 - 6.0  # of the mouth in front of the camera, facing it in frame 0
    landmarks[0, 57, 1] += clip.camera.focal_px * 0.5 / depth
    landmarks[1], valid[1] = np.nan, False
    clip = Clip.open(rewrite(folder, {"landmarks": landmarks, "valid": valid}))
    offsets = face_offsets(clip)
    assert np.allclose(offsets[0, 57], [0, 0.5], atol=1e-3)
    assert np.abs(np.delete(offsets[0], 57, 0)).max() < 1e-3
    assert (offsets[1] == 0).all()


def test_lip_coordinates_are_components_in_units_of_the_first():
    random = np.random.default_rng(0)
    opening, rounding = random.normal(size=(2, 300))
    shapes = (2.0 * opening[:, None] * np.eye(40)[0] + 0.5 * rounding[:, None] * np.eye(40)[7]).astype(np.float32)
    offsets = np.concatenate([random.normal(size=(300, 48, 2)), shapes.reshape(300, 20, 2)], 1)
    found = lip_coordinates(offsets, np.arange(250), 4)
    assert abs(np.corrcoef(found[:, 0], opening)[0, 1]) > 0.99 and abs(np.corrcoef(found[:, 1], rounding)[0, 1]) > 0.99
    assert np.isclose(found[:250, 0].std(), 1, atol=0.01) and np.isclose(found[:, 1].std(), 0.25, atol=0.03)
    assert lip_coordinates(offsets, np.arange(3), 6).shape == (300, 6)
