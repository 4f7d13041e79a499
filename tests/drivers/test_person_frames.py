"""Frames of a person: held-out frames, boxes for rays, and clips that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from jean.clips.clip import Clip
from jean.drivers.person_frames import check_alike, open_clips, open_person, region_boxes
from jean.errors import ArtefactError, InputError
from tests.helpers.tiny_clip import make_clip, rewrite


def test_the_last_tenth_of_every_clip_is_held_out(tmp_path):
    clips = [make_clip(tmp_path / "a", 20), make_clip(tmp_path / "b", 30)]
    data = open_person(clips)
    assert data.held_out.tolist() == [18, 19, 47, 48, 49]
    assert not set(data.train) & set(data.held_out)
    assert data.expression.shape == (50, 2) and open_person(clips, "all").expression.shape == (50, 3)


def test_boxes_contain_their_landmarks_and_missing_landmarks_give_the_frame():
    landmarks = np.random.default_rng(0).uniform(30, 60, (3, 68, 2))
    landmarks[1] = np.nan
    boxes = region_boxes(landmarks, 100)
    assert boxes.shape == (3, 5, 4) and (boxes[1] == [0, 0, 100, 100]).all()
    for box, points in zip(boxes[0], (landmarks[0, 48:], landmarks[0, 36:48], landmarks[0]), strict=False):
        assert (points >= box[:2]).all() and (points <= box[2:]).all()
    assert (boxes[:, 4] == [0, 0, 100, 100]).all()


def test_clips_that_cannot_be_trained_on_together_are_refused(tmp_path):
    one = make_clip(tmp_path / "a")
    with pytest.raises(InputError, match="no sound"):
        check_alike([Clip.open(make_clip(tmp_path / "silent", sound=False))])
    with pytest.raises(ArtefactError, match=r"has size 64; .* needs 48"):
        check_alike([Clip.open(one), Clip.open(make_clip(tmp_path / "big", size=64))])
    other = make_clip(tmp_path / "other")
    rewrite(other, tracker={"name": "mediapipe", "version": "1"})
    with pytest.raises(ArtefactError, match=r"has tracker mediapipe 1; .* needs truth 1"):
        check_alike([Clip.open(one), Clip.open(other)])


def test_a_damaged_clip_is_refused(tmp_path):
    folder = make_clip(tmp_path / "a")
    (folder / "frames.u8").write_bytes((folder / "frames.u8").read_bytes()[:-1])
    with pytest.raises(ArtefactError, match="damaged"):
        Clip.open(folder)
    with pytest.raises(InputError, match="not a prepared clip"):
        Clip.open(tmp_path)


def test_a_folder_of_clips_opens_all_of_them(tmp_path):
    make_clip(tmp_path / "b")
    make_clip(tmp_path / "a")
    assert [clip.folder.name for clip in open_clips([tmp_path])] == ["a", "b"]


def test_late_sound_is_taken_where_the_lips_are(tmp_path):
    """Ten frames late: frame t hears what the clip stores ten frames later, and the last frames repeat the end."""
    sync = {"lag_s": 0.46, "r": 0.7, "r_opening": 0.7, "r_width": 0.7, "chance_r": 0.2, "rank": 0.0}
    folder = make_clip(tmp_path / "a", frames=80, size=16)
    stored = Clip.open(folder).audio_windows("logmel")
    rewrite(folder, sync=sync)
    data = open_person([folder])
    assert data.sound_shifts == [10]
    rows = np.minimum(np.arange(80) + 10, 79)
    np.testing.assert_array_equal(data.audio.at(np.arange(80)), stored[rows])
    for changed in ({"rank": 0.1}, {"r": 0.4}, {"lag_s": 0.12}):  # not certain, or natural
        assert Clip.open(rewrite(folder, sync=sync | changed)).sound_late_s == 0
    short = rewrite(make_clip(tmp_path / "b", frames=70, size=16), sync=sync)
    assert Clip.open(short).sound_late_s == 0
