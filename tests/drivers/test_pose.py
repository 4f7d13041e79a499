"""Head poses as drivers: reading, retargeting, smoothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from jean.drivers.pose import read_poses, retarget_position, smooth_poses
from jean.errors import InputError
from jean.features.base import Face
from jean.features.registry import ADAPTERS
from jean.geometry import make_pose, rotation_matrix
from jean.progress import Silent
from tests.helpers.drawn_face import FakeTracker, face_at
from tests.helpers.media_make import make_video, number_of


def test_retargeted_poses_have_the_own_mean_position():
    own = np.linalg.inv(np.stack([make_pose(np.eye(3), np.array([1.0, 2.0, 50.0 + t])) for t in range(3)]))
    turns = [rotation_matrix(np.array([0.0, 0.1 * t, 0.0])) for t in range(4)]
    theirs = np.linalg.inv(np.stack([make_pose(r, np.array([9.0, 9.0, 90.0])) for r in turns]))
    moved = np.linalg.inv(retarget_position(theirs, own))
    assert np.allclose(moved[:, :3, 3].mean(0), [1, 2, 51])
    assert np.allclose(moved[:, :3, :3], np.stack(turns))


def test_poses_are_read_from_json(tmp_path):
    track = np.repeat(np.eye(4)[None], 5, 0)
    path = tmp_path / "poses.json"
    path.write_text(json.dumps({"fps": 30, "camera_to_world": track.tolist()}))
    read, fps = read_poses(path, "posed", Silent())
    assert fps == 30 and np.array_equal(read, track)


@pytest.mark.parametrize("matrix", [2 * np.eye(4), np.diag([1.0, 1.0, -1.0, 1.0])])
def test_poses_that_are_not_rigid_are_refused(tmp_path, matrix):
    path = tmp_path / "poses.json"
    path.write_text(json.dumps({"fps": 25, "camera_to_world": [matrix.tolist()]}))
    with pytest.raises(InputError, match="rigid"):
        read_poses(path, "posed", Silent())


@pytest.mark.parametrize("content", ["", "[]", '{"fps": 25}', '{"fps": 0, "camera_to_world": [[[1]]]}', "\x00\xff"])
def test_malformed_pose_files_are_refused(tmp_path, content):
    path = tmp_path / "poses.json"
    path.write_text(content)
    with pytest.raises(InputError, match="poses"):
        read_poses(path, "posed", Silent())


def test_smoothing_keeps_slow_motion_and_removes_jitter():
    times = np.arange(100) / 25
    slow, quick = 0.3 * np.sin(times), 0.05 * np.sin(2 * np.pi * 6 * times)
    turned = [rotation_matrix(np.array([0.0, y, 0.0])) for y in slow + quick]
    poses = np.stack([make_pose(r, np.array([x, 0.0, 50.0])) for x, r in zip(slow, turned, strict=True)])
    smooth = smooth_poses(poses, 0.12, 25.0)
    yaw = np.arctan2(smooth[:, 0, 2], smooth[:, 2, 2])
    assert np.abs(yaw - slow)[10:-10].max() < 0.01 and np.abs(smooth[10:-10, 0, 3] - slow[10:-10]).max() < 0.01
    assert np.allclose(smooth[:, :3, :3] @ smooth[:, :3, :3].transpose(0, 2, 1), np.eye(3), atol=1e-6)
    assert np.array_equal(smooth_poses(poses, 0.0, 25.0), poses)
    assert np.allclose(smooth_poses(poses[:1].repeat(3, 0), 2.0, 25.0), poses[:1], atol=1e-9)


class PosedTracker(FakeTracker):
    """Turns the head by 0.02 rad per frame; sees no face in frame 3, and a small second face in all."""

    name = "posed"
    posed = True

    def __init__(self, video=None, device="cpu"):
        pass

    def track(self, frames):
        for _, image in frames:
            number = number_of(image)
            yield [] if number == 3 else [self.face(5.0, 9), self.face(20.0, number)]

    def face(self, size: float, number: int) -> Face:
        pose = make_pose(rotation_matrix(np.array([0.0, 0.02 * number, 0.0])), np.array([0.0, 0.0, -40.0 - number]))
        face = face_at(np.random.default_rng(0).random((68, 2)) * size)
        return replace(face, camera_to_world=pose if self.posed else None)


def test_the_poses_of_a_video_are_tracked(tmp_path, monkeypatch):
    monkeypatch.setitem(ADAPTERS["tracker"], "posed", "tests.drivers.test_pose:PosedTracker")
    video = make_video(tmp_path / "v.mp4", 12, fps=12.5)
    poses, fps = read_poses(video, "posed", Silent())
    assert fps == 25 and len(poses) == 24, "25 frames per second, of a video with half as many"
    yaw = np.arctan2(poses[:, 0, 2], poses[:, 2, 2])
    np.testing.assert_allclose(yaw[3:-3], 0.02 * np.arange(24)[3:-3] / 2, atol=0.012)
    np.testing.assert_allclose(poses[3:-3, 2, 3], -40 - np.arange(24)[3:-3] / 2, atol=0.6)
    monkeypatch.setattr(PosedTracker, "posed", False)
    with pytest.raises(InputError, match="gives no head poses"):
        read_poses(video, "posed", Silent())
    monkeypatch.setattr(PosedTracker, "track", lambda self, frames: ([] for _ in frames))
    with pytest.raises(InputError, match="shows no face"):
        read_poses(video, "posed", Silent())
