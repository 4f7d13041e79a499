"""Opening a clip: what is accepted, what is refused, compatibility and identity."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from jean import files, integrity
from jean.clips.clip import Clip
from jean.clips.compatibility import ClipSpec
from jean.clips.meta import (
    ARRAYS_FILE,
    AUDIO_FILE,
    CONTENT_FILES,
    EMOTION_FILE,
    FRAMES,
    MATTE,
    PICTURE_FILES,
    AudioSpec,
    EmotionSpec,
    ExtractorSpec,
)
from jean.errors import ArtefactError, InputError
from tests.helpers.tiny_clip import make_clip, rewrite


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("original") / "clip", frames=6, size=16)


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "clip")


def test_a_clip_reads_back_as_written(original):
    clip = Clip.open(original)
    assert (clip.frame_count, clip.size_px, clip.fps) == (6, 16, 25.0)
    assert clip.frames.shape == (6, 16, 16, 3) and clip.matte.shape == (6, 16, 16, 2)
    assert clip.background.shape == (16, 16, 3) and clip.audio_windows("logmel").shape == (6, 16, 80)
    assert set(clip.meta.files) == {path.name for path in original.iterdir() if path.name[0] != "."} - {"clip.json"}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("frames", 0, "frames: "),
        ("frames", "6", "frames: "),
        ("frames", 7, "frames.u8 is missing or damaged"),
        ("size_px", -1, "size_px: "),
        ("fps", 0, "fps: "),
        ("fps", "25", "fps: "),
        ("camera", {"focal_px": -1.0, "center_px": [8, 8]}, "camera.focal_px: "),
        ("camera", {"focal_px": 20.0, "center_px": [8]}, "camera.center_px: "),
        ("tracker", None, "tracker: "),
        ("tracker", "truth", "tracker: "),
        ("expression", {"name": "truth", "version": "1", "names": ["a"], "upper": []}, "1 names and 0"),
        ("expression", {"name": "truth", "version": "1", "names": ["a"], "upper": [True]}, "expression has shape"),
        ("audio", {"logmel": {"version": "1", "width": 0, "window": 16, "rate_hz": 50.0}}, "audio.logmel.width: "),
        ("audio", {"logmel": {"version": "1", "width": 81, "window": 16, "rate_hz": 50.0}}, "logmel has shape"),
        ("audio", {"other": {"version": "1", "width": 80, "window": 16, "rate_hz": 50.0}}, "is not in clip.json"),
        ("emotion", {"toy": {"version": "1", "width": 8, "network": True}}, "emotion_features.safetensors is missing"),
        ("files", {"../outside": {"sha256": "0" * 64}}, "unknown file"),
        ("files", {"frames.u8": {"bytes": 1, "sha256": "0" * 64}}, "frames.u8 is missing or damaged"),
        ("files", {"frames.u8": {"sha256": "0"}}, "files.frames.u8.sha256: "),
        ("colour", "red", "colour: "),
        ("format", 3, "has clip format 3, this version reads 1 to 2"),
        ("format", 1, "logmel.first is not in clip.json"),
        ("kind", "run", "kind: "),
    ],
)
def test_wrong_metadata_is_refused(folder, key, value, message):
    rewrite(folder, **{key: value})
    with pytest.raises(ArtefactError, match=message):
        Clip.open(folder)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"kind": "clip", "format": 1}', '{"fps": NaN}', "[" * 5000])
def test_a_document_that_is_no_metadata_is_refused(folder, text):
    (folder / "clip.json").write_text(text)
    with pytest.raises(ArtefactError):
        Clip.open(folder)


def test_not_a_number_in_metadata_is_refused(folder):
    document = json.loads((folder / "clip.json").read_text()) | {"fps": float("nan")}
    (folder / "clip.json").write_text(json.dumps(document))
    with pytest.raises(ArtefactError, match="fps"):
        Clip.open(folder)


@pytest.mark.parametrize("name", ["frames.u8", "matte.u8", "background.png", "arrays.safetensors", "audio.wav"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_missing_or_cut_file_is_refused(folder, name, damage):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[:-1])
    with pytest.raises(ArtefactError, match=f"{name} is missing or damaged"):
        Clip.open(folder)


def _arrays(folder):
    return {name: array.copy() for name, array in Clip.open(folder).arrays.items()}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("landmarks", lambda a: a[:, :67], "landmarks has shape"),
        ("landmarks", lambda a: a.astype(np.int32), "landmarks has type int32"),
        ("valid", lambda a: a.astype(np.float32), "valid has type float32"),
        ("landmarks", lambda a: np.where(np.arange(6)[:, None, None] == 2, np.nan, a), "landmarks of a valid frame"),
        ("landmarks", lambda a: a + np.float32(np.inf), "landmarks holds values that are not finite"),
        ("camera_to_world", lambda a: a * np.nan, "camera_to_world holds values that are not finite"),
        ("camera_to_world", lambda a: a * 2, "not a rigid pose"),
        ("expression", lambda a: a * np.nan, "expression holds values that are not finite"),
        ("shape", lambda a: a[:67], "shape has shape"),
        ("times_s", lambda a: a[::-1], "times_s does not increase"),
    ],
)
def test_wrong_arrays_are_refused(folder, name, change, message):
    rewrite(folder, {name: change(_arrays(folder)[name])})
    with pytest.raises(ArtefactError, match=message):
        Clip.open(folder)


def test_a_link_that_leaves_the_folder_is_refused(folder, tmp_path):
    outside = tmp_path / "outside.u8"
    (folder / "frames.u8").rename(outside)
    os.symlink(outside, folder / "frames.u8")
    with pytest.raises(ArtefactError, match="link to a file outside"):
        Clip.open(folder)


def test_a_clip_of_the_truth_from_an_earlier_demo_opens(folder):
    document = json.loads((folder / "clip.json").read_text())
    names = ("kind", "format", "frames", "size_px", "fps", "camera", "tracker", "expression")
    (folder / "clip.json").write_text(json.dumps({name: document[name] for name in names}))
    for name in ("background.png", "audio_features.safetensors"):
        (folder / name).unlink()
    clip = Clip.open(folder)
    assert clip.meta.files == {} and clip.audio_specs == {} and clip.audio_path is not None
    assert clip.digest(ARRAYS_FILE) == clip.digest(ARRAYS_FILE)


def test_each_property_that_differs_is_one_kind_of_error(original):
    clip = Clip.open(original)
    clip.require(clip.spec("size_px", "fps", "tracker", "expression", "audio", "emotion"), "itself")
    other = AudioSpec(version="2", width=80, window=16, rate_hz=50.0)
    toy = EmotionSpec(version="1", width=4, network=True)
    for spec, message in (
        (ClipSpec(size_px=32), r"has size 16; the run needs 32\. Prepare it again with --size 32"),
        (ClipSpec(fps=30.0), r"has frame rate 25; the run needs 30\. .*--fps 30"),
        (
            ClipSpec(tracker=ExtractorSpec(name="a", version="2")),
            r"has tracker truth 1; the run needs a 2\. .*--tracker a",
        ),
        (ClipSpec(audio={"logmel": other}), r"has logmel audio features version 1 .*; the run needs version 2"),
        (ClipSpec(audio={"deepspeech": other}), r"has no deepspeech audio features; .*--audio-features deepspeech"),
        (ClipSpec(emotion={"toy": toy}), r"has no toy emotion features; .*--emotion-features toy"),
    ):
        with pytest.raises(ArtefactError, match=message):
            clip.require(spec)


def test_coefficients_of_another_version_may_drive_but_not_train(original):
    clip = Clip.open(original)
    newer = clip.meta.expression.model_copy(update={"version": "2"})
    clip.require(ClipSpec(coefficients=newer))
    with pytest.raises(ArtefactError, match="expression coefficients"):
        clip.require(ClipSpec(expression=newer))


def test_a_silent_clip_has_no_sound_to_require(tmp_path):
    clip = Clip.open(make_clip(tmp_path / "silent", frames=3, size=16, sound=False))
    with pytest.raises(InputError, match="has no sound"):
        clip.audio_windows("logmel")


def test_the_digest_follows_the_content_and_not_the_place(original, folder):
    first, second = Clip.open(original), Clip.open(folder)
    assert first.digest() == second.digest() and first.digest() != first.digest(FRAMES, MATTE)
    rewrite(folder, valid=3)
    assert Clip.open(folder).digest() == first.digest(), "a report does not decide"
    rewrite(folder, fps=30.0)
    assert Clip.open(folder).digest() != first.digest()
    rewrite(folder, {"expression": _arrays(folder)["expression"] + 1}, fps=25.0)
    changed = Clip.open(folder)
    assert changed.digest() != first.digest() and changed.digest(AUDIO_FILE) == first.digest(AUDIO_FILE)


def test_the_digest_is_the_same_with_and_without_recorded_hashes(original, folder):
    rewrite(folder, files={})
    assert Clip.open(folder).digest() == Clip.open(original).digest()


@pytest.mark.parametrize("name", CONTENT_FILES)
def test_one_flipped_bit_is_found_where_the_file_is_read(original, folder, name):
    if not (folder / name).is_file():
        assert name == EMOTION_FILE
        return
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1  # a value, not the header of a safetensors file
    (folder / name).write_bytes(content)
    with pytest.raises(ArtefactError, match=f"{name} was changed or damaged"):
        Clip.open(folder)
    if name in PICTURE_FILES:
        Clip.open(folder, pictures=False)
    else:
        with pytest.raises(ArtefactError, match=f"{name} was changed or damaged"):
            Clip.open(folder, pictures=False)


def test_a_clip_is_read_once_to_be_verified(folder, monkeypatch):
    read = []
    monkeypatch.setattr(integrity, "sha256", lambda path: read.append(path.name) or files.sha256(path))
    monkeypatch.setattr(integrity, "_SETTLED_S", -1.0)
    monkeypatch.setattr(integrity, "_seen", {})
    Clip.open(folder)
    assert sorted(read) == sorted(path.name for path in folder.iterdir() if path.name in CONTENT_FILES)
    Clip.open(folder)
    integrity._seen.clear()  # as in another process
    Clip.open(folder)
    assert len(read) == len(set(read))
    os.utime(folder / FRAMES, ns=(1, 1))
    Clip.open(folder)
    assert read.count(FRAMES) == 2
