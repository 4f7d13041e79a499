"""Files of a render: nothing is lost or overwritten, and only whole results count as finished."""

from __future__ import annotations

import errno
import json
import os
import shutil

import cv2
import numpy as np
import pytest

from jean.drivers.person import NAME as PERSON
from jean.errors import ArtefactError, SetupError, UsageError
from jean.media import write_wav
from jean.progress import Silent
from jean.provenance import check, manifest_path
from jean.rendering import render as render_module
from jean.rendering import result_files
from jean.rendering.config import RenderConfig
from jean.rendering.render import render
from jean.train.nerf.train import NerfConfig, train_nerf
from tests.helpers.tiny_clip import make_clip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a clip, a run, and a render of 3 frames with its frames in png. Read-only."""
    folder = tmp_path_factory.mktemp("trained")
    clip = make_clip(folder / "clip", frames=12, size=32)
    train_nerf([clip], folder / "run", NerfConfig(steps=2, rays=144, frames_per_step=1), Silent())
    write_wav(folder / "speech.wav", np.sin(np.arange(1920) / 10).astype(np.float32) / 3, 16000)
    render(folder / "run", options(folder), folder / "out.mp4", Silent())
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "mine")


def options(folder, **more):
    return RenderConfig(**{"audio": folder / "speech.wav", "frames": folder / "png", "depth": True} | more)


def again(folder, **more):
    return render(folder / "run", options(folder, **more), folder / "out.mp4", Silent())


def flip_last_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_whole_result_is_finished(folder):
    before = (folder / "out.mp4").stat().st_mtime_ns
    assert again(folder)["seconds"] == 0
    assert (folder / "out.mp4").stat().st_mtime_ns == before and not (folder / "out.mp4.work").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: os.truncate(folder / "out.mp4", 100),
        lambda folder: flip_last_byte(folder / "out.mp4"),
        lambda folder: (folder / "png" / "000001.png").unlink(),
        lambda folder: flip_last_byte(folder / "png" / "000001.png"),
        lambda folder: os.truncate(folder / "out_depth" / "000001.png", 20),
        lambda folder: (folder / "out.mp4.json").write_text("[1]"),
        lambda folder: (folder / "out.mp4.json").write_text("{"),
    ],
    ids=["truncated", "flipped", "frame-lost", "frame-flipped", "depth-truncated", "no-manifest", "no-json"],
)
def test_a_damaged_result_is_rendered_again(folder, trained, damage):
    damage(folder)
    assert again(folder)["seconds"] > 0
    assert check(folder / "out.mp4")["ok"]
    for name in ("png/000001.png", "out_depth/000001.png"):
        assert (folder / name).read_bytes() == (trained / name).read_bytes()


def test_one_flipped_bit_of_the_person_is_found(folder):
    flip_last_byte(folder / "run" / PERSON)
    with pytest.raises(ArtefactError, match="changed or damaged"):
        again(folder)
    # training again writes it anew, from the clip that the run names
    clip = shutil.copytree(folder / "clip", folder / "again" / "clip")
    train_nerf([clip], folder / "run", NerfConfig(steps=2, rays=144, frames_per_step=1), Silent())
    assert again(folder)["finished"]


def test_another_person_is_another_result(folder, tmp_path):
    before = json.loads((folder / "out.mp4.json").read_text())["inputs"]
    assert {"audio", "head", "person", "lips"} == set(before)
    other = make_clip(tmp_path / "other", frames=12, size=32, seed=4)
    train_nerf([other], tmp_path / "run", NerfConfig(steps=2, rays=144, frames_per_step=1), Silent())
    shutil.copy(tmp_path / "run" / PERSON, folder / "run" / PERSON)
    assert again(folder)["seconds"] > 0
    after = json.loads((folder / "out.mp4.json").read_text())["inputs"]
    assert before["head"] == after["head"] and before["person"]["sha256"] != after["person"]["sha256"]


def test_the_source_background_is_an_input(folder):
    again(folder, background="source")
    assert "training-clip" in json.loads((folder / "out.mp4.json").read_text())["inputs"]


def test_the_manifest_holds_no_folder(folder):
    wall = folder / "wall.png"
    cv2.imwrite(str(wall), np.zeros((8, 8, 3), np.uint8))
    again(folder, background=str(wall), expression=folder / "clip", pose=str(folder / "clip"))
    text = (folder / "out.mp4.json").read_text()
    assert str(folder) not in text and "/" not in json.dumps(json.loads(text)["options"])
    assert json.loads(text)["options"]["audio"] == "speech.wav"


@pytest.mark.parametrize(
    ("more", "output"),
    [
        ({"audio": "out.mp4"}, "out.mp4"),
        ({"pose": "out.mp4.json"}, "out.mp4"),
        ({}, "run/out.mp4"),
        ({"expression": "clip"}, "clip/out.mp4"),
        ({"frames": "clip/png", "expression": "clip"}, "new.mp4"),
        ({"frames": "png", "background": "png/000000.png"}, "new.mp4"),
        ({"background": "link.png"}, "out.mp4"),
    ],
)
def test_no_input_is_overwritten(folder, more, output):
    (folder / "link.png").symlink_to(folder / "out.mp4")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    given = {name: str(folder / value) for name, value in more.items()}
    with pytest.raises(UsageError, match=r"is an input|lies inside"):
        render(folder / "run", options(folder, **given), folder / output, Silent())
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_frames_that_cannot_be_written_fail_before_rendering(folder, monkeypatch):
    (folder / "file").write_text("")
    monkeypatch.setattr(render_module, "load_configured_head", lambda *args: pytest.fail("must not render"))
    with pytest.raises(SetupError, match="cannot write"):
        render(folder / "run", options(folder, frames=folder / "file" / "png"), folder / "b.mp4", Silent())
    assert not (folder / "b.mp4").exists() and not (folder / "b.mp4.work").exists()


@pytest.mark.parametrize("place", ["hand_over", "manifest"])
def test_a_disk_that_fills_at_the_end_leaves_no_video_without_manifest(folder, monkeypatch, place):
    def full(*args, **more):
        raise SetupError("cannot write: No space left on device.")

    target = result_files.FrameStore if place == "hand_over" else result_files
    with monkeypatch.context() as patch:
        patch.setattr(target, "hand_over" if place == "hand_over" else "write_manifest", full)
        with pytest.raises(SetupError):
            render(folder / "run", options(folder), folder / "b.mp4", Silent())
    assert not (folder / "b.mp4").exists() and not manifest_path(folder / "b.mp4").exists()
    assert not list(folder.glob(".*partial*"))
    render(folder / "run", options(folder), folder / "b.mp4", Silent())
    assert check(folder / "b.mp4")["ok"]


def test_copying_frames_to_a_full_disk_is_a_failure_of_the_machine(folder, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(SetupError, match="No space left"):
        render(folder / "run", options(folder), folder / "b.mp4", Silent())
    assert not (folder / "b.mp4").exists()


@pytest.mark.parametrize("damage", ["half", "flip", "depth", "key"])
def test_damaged_frames_of_an_interrupted_render_are_rendered_again(folder, trained, damage):
    work = folder / "b.mp4.work"
    render(folder / "run", options(folder, shard="1/3"), folder / "b.mp4", Silent())
    frame = work / {"depth": "000000.depth.png", "key": "key.json"}.get(damage, "000000.png")
    content = frame.read_bytes()
    changed = content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1 :]
    frame.write_bytes({"half": content[: len(content) // 2], "key": b"{", "depth": b""}.get(damage, changed))
    result = render(folder / "run", options(folder), folder / "b.mp4", Silent())
    assert result["finished"]
    for name in ("000000.png", "000001.png", "000002.png"):
        assert (folder / "png" / name).read_bytes() == (trained / "png" / name).read_bytes()
        assert (folder / "b_depth" / name).read_bytes() == (trained / "out_depth" / name).read_bytes()


def test_unfinished_files_of_a_killed_render_disappear(folder):
    strays = [folder / ".b.mp4.12345.partial.mp4", folder / ".b.mp4.json.12345.partial.json"]
    for path in [*strays, folder / ".other.mp4.12345.partial.mp4"]:
        path.write_bytes(b"half")
    render(folder / "run", options(folder), folder / "b.mp4", Silent())
    assert not any(path.exists() for path in strays) and (folder / ".other.mp4.12345.partial.mp4").exists()


@pytest.mark.parametrize("own", [True, False])
def test_a_finished_render_removes_its_own_frames_and_not_those_of_another_in_progress(folder, own):
    render(folder / "run", options(folder, shard="1/3", yaw=0.0 if own else 5.0), folder / "b.mp4", Silent())
    frames = shutil.copytree(folder / "b.mp4.work", folder / "kept")
    shutil.rmtree(folder / "b.mp4.work")
    render(folder / "run", options(folder), folder / "b.mp4", Silent())
    frames.rename(folder / "b.mp4.work")  # as if killed after the last file, or still rendering other options
    assert render(folder / "run", options(folder), folder / "b.mp4", Silent())["seconds"] == 0
    assert (folder / "b.mp4.work").exists() is not own


def test_frames_without_their_key_are_not_used(folder, trained):
    render(folder / "run", options(folder, shard="1/3", yaw=30.0), folder / "b.mp4", Silent())
    (folder / "b.mp4.work" / "key.json").unlink()  # killed while the folder was removed
    render(folder / "run", options(folder), folder / "b.mp4", Silent())
    assert (folder / "png" / "000000.png").read_bytes() == (trained / "png" / "000000.png").read_bytes()
