"""Which short videos fit together, and the clip that is made of them."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jean.clips.clip import ARRAYS, Clip
from jean.clips.concat import choose, join, jump, unlike
from jean.errors import InputError
from jean.files import read_json, write_json
from jean.geometry import project
from jean.prepare.crop import centre_crop
from tests.helpers.tiny_clip import make_clip


def shot(folder, shift_cm=0.0, focal=1.0, frames=10):
    """A clip whose head is moved aside, under another focal length; it begins and ends in one place."""
    make_clip(folder, frames=frames, size=20)
    arrays = load_file(folder / "arrays.safetensors")
    arrays["camera_to_world"][:] = arrays["camera_to_world"][0]
    arrays["camera_to_world"][:, 0, 3] += shift_cm
    save_file(arrays, folder / "arrays.safetensors")
    meta = read_json(folder / "clip.json")
    meta["camera"]["focal_px"] *= focal
    write_json(folder / "clip.json", meta)
    return Clip.open(folder)


def test_jumps_focal_lengths_and_poses_are_told(tmp_path):
    first, same = shot(tmp_path / "a"), shot(tmp_path / "b", 1.0)
    assert jump(first, same) == [] and unlike(same, first) == []
    assert jump(first, shot(tmp_path / "c", 4.5)) == ["the head jumps"]
    assert unlike(shot(tmp_path / "d", focal=1.3), first)[0] == "another focal length"
    assert unlike(shot(tmp_path / "e", 6.0), first) == ["other poses"]


def test_a_misfitted_focal_length_is_no_movement(tmp_path):
    first, clip = shot(tmp_path / "a"), shot(tmp_path / "b", focal=1.2)
    arrays = load_file(clip.folder / "arrays.safetensors")
    moved = arrays["camera_to_world"]
    moved[:] = np.linalg.inv(moved)
    moved[:, 2, 3] *= 1.2  # 9 cm further away, and as large in the picture
    arrays["camera_to_world"] = np.linalg.inv(moved)
    save_file(arrays, clip.folder / "arrays.safetensors")
    clip = Clip.open(clip.folder)
    assert jump(first, clip) == [] and unlike(clip, first) == []


def test_the_longest_fitting_run_of_neighbours_is_chosen(tmp_path):
    clips = [shot(tmp_path / name, shift) for name, shift in zip("abcdef", (0, 9, 9.5, 10, 0, 0.5), strict=True)]
    kept, left = choose(clips, 60.0)
    assert kept == [1, 2, 3]
    assert left["e"] == ["the head jumps", "other poses"] and set(left) == {"a", "e", "f"}
    kept, left = choose(clips, 0.7)  # 0.4 s each: two are enough
    assert kept == [1, 2] and left["d"] == ["not needed"]
    kept, _ = choose(clips, 60.0, clips[0])
    assert kept == [4, 5]
    assert choose(clips[1:4], 60.0, clips[0])[0] == []


def test_the_joined_clip_is_whole_and_stays_in_place(tmp_path):
    clips = [shot(tmp_path / "a"), shot(tmp_path / "b", focal=1.1)]
    join(clips, tmp_path / "joined", {"joined": ["a", "b"]})
    joined = Clip.open(tmp_path / "joined")
    assert joined.frame_count == 20 and joined.meta["joined"] == ["a", "b"]
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
    meta = read_json(clips[1].folder / "clip.json")
    write_json(clips[1].folder / "clip.json", meta | {"tracker": {"name": "other", "version": "1"}})
    with pytest.raises(InputError, match="tracker"):
        join([clips[0], Clip.open(clips[1].folder)], tmp_path / "x", {})


def test_the_middle_1080_of_1920():
    assert centre_crop(1920, 1080).to_json() == {"left_px": 420, "top_px": 0, "side_px": 1080}
    assert centre_crop(480, 640).to_json() == {"left_px": 0, "top_px": 80, "side_px": 480}
