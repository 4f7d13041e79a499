"""The depth of mouth and chin, which a turning head betrays."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from jean.drivers.face_points import depth_offsets, offsets_from, rigid_offsets
from jean.drivers.mouth_depth import LOWER_POINTS, MouthDepth
from jean.geometry import Camera, invert_pose, make_pose, rotation_matrix, to_camera
from tests.helpers.tiny_motion import face_shape

CAMERA = Camera(110.0, (32.0, 32.0), 64, 64)
CHIN = 21  # place of landmark 8 in LOWER_POINTS
DEPTH_CM, PER_OPENING = 0.6, 0.4  # of the chin at rest, and per cm of opening


def turning_clip(frames: int, turn_rad: float) -> tuple[SimpleNamespace, np.ndarray]:
    """A head that turns and opens its mouth, and how far [T], cm; one frame has no face.

    The chin lies deeper than the shape says, and moves down and back as the mouth opens.
    """
    times = np.arange(frames)
    turn = turn_rad * np.stack([0.2 * np.sin(times / 7), np.cos(times / 11), 0.2 * np.sin(times / 5)], 1)
    poses = invert_pose(make_pose(rotation_matrix(turn), np.tile([0.0, 0.0, 60.0], (frames, 1))))
    opening = 0.5 + 0.5 * np.sin(times / 1.7)
    shape = face_shape()
    true = np.repeat(shape[None], frames, 0)
    true[:, 8, 2] += DEPTH_CM + PER_OPENING * opening
    true[:, 57, 1] += opening
    true[:, 8, 1] += opening
    seen = np.stack([to_camera(points, pose[None])[0] for points, pose in zip(true, poses, strict=True)])
    landmarks = seen[..., :2] / seen[..., 2:] * CAMERA.focal_px + 32.0
    landmarks[3] = np.nan
    arrays = {"shape": shape, "camera_to_world": poses, "landmarks": landmarks}
    return SimpleNamespace(arrays=arrays, camera=CAMERA, frame_count=frames), opening


def test_depth_offsets_are_the_derivative_of_the_offsets():
    clip, step_cm = turning_clip(40, 0.3)[0], 1e-4
    points = np.array([8, 57, 30])
    shape, poses = clip.arrays["shape"][points], clip.arrays["camera_to_world"]
    seen = to_camera(shape + np.array([0, 0, step_cm]), poses)
    pixels = seen[..., :2] / seen[..., 2:] * CAMERA.focal_px + 32.0
    numeric = offsets_from(shape, pixels, poses, CAMERA) / step_cm
    assert np.allclose(depth_offsets(clip, points), numeric, atol=1e-4)


def test_a_turning_head_tells_the_depth_of_the_chin():
    clip, opening = turning_clip(800, 0.3)
    found = MouthDepth.fit([clip])
    depth = found._inputs(rigid_offsets(clip, slice(0, 68))[:, LOWER_POINTS]) @ found.depth
    known = np.isfinite(depth[:, CHIN])
    wanted = DEPTH_CM + PER_OPENING * opening
    assert np.corrcoef(depth[known, CHIN], wanted[known])[0, 1] > 0.95
    assert np.abs(depth[known, CHIN] - wanted[known]).mean() < 0.12
    others = [place for place in range(len(LOWER_POINTS)) if place not in (CHIN, 9)]  # 9: landmark 57
    assert np.abs(depth[known][:, others]).max() < 0.05


def test_a_chin_that_moves_straight_down_does_so_on_a_turning_head():
    clip = turning_clip(800, 0.3)[0]
    raw, flat = rigid_offsets(clip, slice(0, 68))[:, 8], MouthDepth.fit([clip]).flatten(clip)[:, 8]
    assert np.nanstd(flat[:, 0]) < 0.25 * np.nanstd(raw[:, 0])  # sideways
    assert np.array_equal(flat[:, 1], raw[:, 1], equal_nan=True)


def test_a_head_that_stands_still_or_hides_tells_no_depth():
    still = turning_clip(50, 1e-4)[0]
    assert np.abs(MouthDepth.fit([still]).depth).max() < 0.01
    hidden = turning_clip(50, 0.3)[0]
    hidden.arrays["landmarks"][:] = np.nan
    assert not MouthDepth.fit([hidden]).depth.any()
