"""The three sources of a render."""

from __future__ import annotations

import json

import numpy as np
import pytest

from jean.clips.clip import Clip
from jean.drivers import sources
from jean.errors import ArtefactError, InputError
from jean.geometry import make_pose, rotation_matrix
from jean.progress import Silent
from tests.helpers.tiny_clip import make_clip


def test_a_short_source_goes_there_and_back():
    positions = sources.source_positions((np.arange(9) + 0.5) / 10, 10.0, 4, "mirror")
    assert np.allclose(positions, [0, 1, 2, 3, 2, 1, 0, 1, 2])


def test_or_stands_still():
    assert np.allclose(sources.source_positions((np.arange(6) + 0.5) / 10, 10.0, 4, "hold"), [0, 1, 2, 3, 3, 3])
    assert np.allclose(sources.source_positions(np.arange(3) / 10, 10.0, 1, "mirror"), 0)


def test_rates_are_met_by_time():
    rows = np.arange(20.0)[:, None]
    at_half_the_rate = sources.source_positions((np.arange(8) + 0.5) / 12.5, 25.0, 20, "hold")
    assert np.allclose(sources.blend_rows(rows, at_half_the_rate)[:, 0], np.arange(8) * 2 + 0.5)
    assert np.allclose(sources.blend_rows(rows, np.array([2.25, 18.5]))[:, 0], [2.25, 18.5])


def test_poses_of_another_person_keep_the_own_place():
    own = np.linalg.inv(np.stack([make_pose(np.eye(3), np.array([1.0, 2.0, 50.0 + t])) for t in range(3)]))
    turns = [rotation_matrix(np.array([0.0, 0.1 * t, 0.0])) for t in range(4)]
    theirs = np.linalg.inv(np.stack([make_pose(r, np.array([9.0, 9.0, 90.0])) for r in turns]))
    moved = np.linalg.inv(sources.retarget_place(theirs, own))
    assert np.allclose(moved[:, :3, 3].mean(0), [1, 2, 51])
    assert np.allclose(moved[:, :3, :3], np.stack(turns))


def test_poses_from_a_file(tmp_path):
    track = np.repeat(np.eye(4)[None], 5, 0)
    path = tmp_path / "poses.json"
    path.write_text(json.dumps({"fps": 30, "camera_to_world": track.tolist()}))
    read, fps = sources.poses(path)
    assert fps == 30 and np.array_equal(read, track)


@pytest.mark.parametrize("matrix", [2 * np.eye(4), np.diag([1.0, 1.0, -1.0, 1.0])])
def test_poses_that_are_not_rigid_are_refused(tmp_path, matrix):
    path = tmp_path / "poses.json"
    path.write_text(json.dumps({"fps": 25, "camera_to_world": [matrix.tolist()]}))
    with pytest.raises(InputError, match="rigid"):
        sources.poses(path)


@pytest.mark.parametrize("content", ["", "[]", '{"fps": 25}', '{"fps": 0, "camera_to_world": [[[1]]]}', "\x00\xff"])
def test_a_bad_file_of_poses_is_one_clear_error(tmp_path, content):
    path = tmp_path / "poses.json"
    path.write_text(content)
    with pytest.raises(InputError, match="poses"):
        sources.poses(path)


def test_expressions_of_another_kind_are_refused(tmp_path):
    clip = make_clip(tmp_path / "a")
    made = dict(Clip.open(clip).meta["expression"])
    track = sources.expression(clip, made, {"name": "truth", "version": "1"}, Silent())
    assert track.coefficients.shape == (20, 3) and track.fps == 25
    assert track.offsets is not None and np.abs(track.offsets).max() < 1e-4  # a rigid face
    with pytest.raises(ArtefactError, match="expressions"):
        sources.expression(clip, made | {"name": "mediapipe"}, {"name": "mediapipe", "version": "1"}, Silent())


def test_speech_of_another_extractor_version_is_refused(tmp_path):
    clip = make_clip(tmp_path / "a")
    made = Clip.open(clip).meta["audio"]["logmel"]
    assert sources.speech(clip / "audio.wav", "logmel", made, 25.0).shape == (20, made["window"], made["width"])
    with pytest.raises(ArtefactError, match="version"):
        sources.speech(clip / "audio.wav", "logmel", made | {"version": "0"}, 25.0)
