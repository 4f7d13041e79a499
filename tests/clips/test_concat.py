"""Joining short videos: which ones fit together, and the joined clip."""

from __future__ import annotations

import numpy as np
import pytest

from jean.clips.clip import ARRAYS, Clip
from jean.clips.concat import choose, join, jump, unlike
from jean.errors import ArtefactError
from jean.geometry import project
from jean.preparation.crop import centre_crop
from tests.helpers.tiny_clip import make_clip, rewrite


def shot(folder, shift_cm=0.0, focal=1.0, frames=10):
    """A clip whose head is moved aside, under another focal length; it begins and ends in one place."""
    make_clip(folder, frames=frames, size=20)
    clip = Clip.open(folder)
    poses = np.repeat(clip.arrays["camera_to_world"][:1], frames, 0)
    poses[:, 0, 3] += shift_cm
    camera = {**clip.meta.camera.to_json(), "focal_px": clip.camera.focal_px * focal}
    return Clip.open(rewrite(folder, {"camera_to_world": poses}, camera=camera))


def test_jumps_other_focal_lengths_and_other_poses_are_reported(tmp_path):
    first, same = shot(tmp_path / "a"), shot(tmp_path / "b", 1.0)
    assert jump(first, same) == [] and unlike(same, first) == []
    assert jump(first, shot(tmp_path / "c", 4.5)) == ["the head jumps"]
    assert unlike(shot(tmp_path / "d", focal=1.3), first)[0] == "another focal length"
    assert unlike(shot(tmp_path / "e", 6.0), first) == ["other poses"]


def test_a_wrong_focal_length_does_not_count_as_movement(tmp_path):
    first, clip = shot(tmp_path / "a"), shot(tmp_path / "b", focal=1.2)
    moved = np.linalg.inv(clip.arrays["camera_to_world"])
    moved[:, 2, 3] *= 1.2  # 9 cm further away, and as large in the frame
    clip = Clip.open(rewrite(clip.folder, {"camera_to_world": np.linalg.inv(moved)}))
    assert jump(first, clip) == [] and unlike(clip, first) == []


def test_the_longest_run_of_matching_neighbours_is_chosen(tmp_path):
    clips = [shot(tmp_path / name, shift) for name, shift in zip("abcdef", (0, 9, 9.5, 10, 0, 0.5), strict=True)]
    kept, left = choose(clips, 60.0)
    assert kept == [1, 2, 3]
    assert left["e"] == ["the head jumps", "other poses"] and set(left) == {"a", "e", "f"}
    kept, left = choose(clips, 0.7)  # 0.4 s each: two are enough
    assert kept == [1, 2] and left["d"] == ["not needed"]
    kept, _ = choose(clips, 60.0, clips[0])
    assert kept == [4, 5]
    assert choose(clips[1:4], 60.0, clips[0])[0] == []


def test_the_joined_clip_is_complete_and_heads_keep_their_size(tmp_path):
    clips = [shot(tmp_path / "a"), shot(tmp_path / "b", focal=1.1)]
    join(clips, tmp_path / "joined", {"c": ["other poses"]})
    joined = Clip.open(tmp_path / "joined")
    assert joined.frame_count == 20 and joined.meta.joined == ["a", "b"]
    assert joined.meta.left_out == {"c": ["other poses"]}
    for name, (shape, _) in ARRAYS.items():
        if shape.startswith("T"):
            assert len(joined.arrays[name]) == 20, name
    assert np.array_equal(joined.frames[10:], clips[1].frames) and np.array_equal(joined.matte[:10], clips[0].matte)
    assert joined.audio_features["logmel"].shape == (20, 16, 80)
    from jean.media import read_audio

    assert len(read_audio(joined.audio_path)) == 20 / 25 * 16000
    # under the first one's focal length the second head is as large as before
    point = np.array([[8.0, 0.0, 0.0]])
    before = project(point, clips[1].camera, clips[1].arrays["camera_to_world"][0])
    after = project(point, joined.camera, joined.arrays["camera_to_world"][10])
    assert np.abs(before - after).max() < 0.2
    other = Clip.open(rewrite(clips[1].folder, tracker={"name": "other", "version": "1"}))
    with pytest.raises(ArtefactError, match=r"has tracker other 1; .*a needs truth 1"):
        join([clips[0], other], tmp_path / "x")


def test_the_centre_crop_of_1920_by_1080_has_side_1080():
    assert centre_crop(1920, 1080).to_json() == {"left_px": 420, "top_px": 0, "side_px": 1080}
    assert centre_crop(480, 640).to_json() == {"left_px": 0, "top_px": 80, "side_px": 480}
