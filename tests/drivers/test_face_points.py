"""Offsets of landmarks from the rigid head, and the depth of points that a turning head betrays."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from jean.drivers.face_points import depth_offsets, fit_depth, offsets_from, rigid_offsets
from jean.geometry import Camera, invert_pose, make_pose, rotation_matrix, to_camera
from tests.helpers.tiny_motion import face_shape

CAMERA = Camera(110.0, (32.0, 32.0), 64, 64)
POINTS = np.array([8, 57, 30])
DEPTH_CM = np.array([0.6, 0.3, 0.0])


def turning_clip(frames: int, turn_rad: float) -> SimpleNamespace:
    """A head that turns and opens its mouth; some points lie deeper than its shape says; one frame has no face."""
    times = np.arange(frames)
    turn = turn_rad * np.stack([np.sin(times / 7), np.cos(times / 11), 0.3 * np.sin(times / 5)], 1)
    poses = invert_pose(make_pose(rotation_matrix(turn), np.tile([0.0, 0.0, 60.0], (frames, 1))))
    shape = face_shape()
    true = np.repeat(shape[None], frames, 0)
    true[:, POINTS, 2] += DEPTH_CM
    true[:, 57, 1] += 0.3 * np.sin(times)
    seen = np.stack([to_camera(points, pose[None])[0] for points, pose in zip(true, poses, strict=True)])
    landmarks = seen[..., :2] / seen[..., 2:] * CAMERA.focal_px + 32.0
    landmarks[3] = np.nan
    return SimpleNamespace(
        arrays={"shape": shape, "camera_to_world": poses, "landmarks": landmarks}, camera=CAMERA, frame_count=frames
    )


def test_depth_offsets_are_the_derivative_of_the_offsets():
    clip, step_cm = turning_clip(40, 0.3), 1e-4
    shape, poses = clip.arrays["shape"][POINTS], clip.arrays["camera_to_world"]
    seen = to_camera(shape + np.array([0, 0, step_cm]), poses)
    pixels = seen[..., :2] / seen[..., 2:] * CAMERA.focal_px + 32.0
    numeric = offsets_from(shape, pixels, poses, CAMERA) / step_cm
    assert np.allclose(depth_offsets(clip, POINTS), numeric, atol=1e-4)


def test_a_turning_head_tells_the_depth_of_its_points():
    clips = [turning_clip(600, 0.3), turning_clip(200, 0.2)]
    depth = fit_depth(clips, POINTS)
    assert depth == pytest.approx(DEPTH_CM, abs=0.05)
    # what is left of the chin's motion, which does not move at all
    raw, slopes = rigid_offsets(clips[0], slice(0, 68))[:, 8], depth_offsets(clips[0], POINTS)[:, 0]
    assert np.nanstd(raw - slopes * depth[0], axis=0).max() < 0.15 * np.nanstd(raw, axis=0).max()


def test_a_head_that_stands_still_tells_no_depth():
    assert np.abs(fit_depth([turning_clip(50, 1e-4)], POINTS)).max() < 0.01
