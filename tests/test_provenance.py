"""Provenance: marks are complete, and lost or changed marks are reported."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from jean import __version__
from jean.errors import InputError
from jean.files import sha256
from jean.media import FramesWriter, VideoWriter, read_tags
from jean.provenance import check, manifest, manifest_path, metadata_tags, write_manifest
from tests.helpers.media_make import picture


@pytest.fixture
def document(tmp_path: Path) -> dict:
    (tmp_path / "speech.wav").write_bytes(b"sound")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "weights").write_bytes(b"numbers")
    (tmp_path / "run" / ".lock").write_bytes(b"")
    options = {"background": "white", "yaw": np.float32(0.5), "where": tmp_path / "x.png", "stop": float("inf")}
    return manifest("render", {"audio": tmp_path / "speech.wav", "run": tmp_path / "run"}, options, {"frames": 3})


@pytest.fixture
def video(tmp_path: Path, document: dict) -> Path:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, (96, 64), 25, metadata=metadata_tags(document)) as writer:
        for number in range(3):
            writer.write(picture(number))
    assert write_manifest(path, document) == tmp_path / "out.mp4.json"
    return path


def test_the_manifest_records_inputs_options_and_output(tmp_path, document, video):
    stored = json.loads((tmp_path / "out.mp4.json").read_text())
    assert stored["synthetic"] is True and stored["tool"] == {"name": "jean", "version": __version__}
    assert stored["inputs"]["audio"] == {"name": "speech.wav", "sha256": sha256(tmp_path / "speech.wav"), "bytes": 5}
    assert stored["inputs"]["run"]["files"] == 1 and len(stored["inputs"]["run"]["sha256"]) == 64
    assert stored["output"]["sha256"] == sha256(video)
    assert stored["options"] == {"background": "white", "yaw": 0.5, "where": "x.png", "stop": "inf"}
    assert stored["created_utc"].endswith("+00:00") and str(tmp_path) not in json.dumps(stored)


def test_the_video_has_tags(document, video):
    comment = read_tags(video)["comment"]
    assert comment.startswith("synthetic=true; tool=jean") and document["id"] in comment
    assert "audio:" + document["inputs"]["audio"]["sha256"][:16] in comment
    assert read_tags(video)["description"].startswith("Synthetic")


def test_an_unchanged_result_passes(video):
    result = check(video)
    assert result["ok"] and result["synthetic"] and result["hash_matches"] and result["tags_match"]
    assert not result["problems"]


def test_a_changed_output_is_reported(video):
    data = bytearray(video.read_bytes())
    data[-1] ^= 1
    video.write_bytes(data)
    result = check(video)
    assert not result["ok"] and result["hash_matches"] is False and result["synthetic"]


def test_a_lost_manifest_is_reported_and_the_tags_still_mark_the_video(video):
    manifest_path(video).unlink()
    result = check(video)
    assert not result["ok"] and result["synthetic"] and result["manifest"] is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 1}', '{"format": 1, "output": 3}', "not json", "\xff"])
def test_a_damaged_manifest_is_reported(video, content):
    manifest_path(video).write_text(content, encoding="latin-1")
    assert not check(video)["ok"]


@pytest.mark.parametrize(
    "change", [{"synthetic": False}, {"options": {}}, {"inputs": {}}, {"tool": {"name": "camera", "version": "1"}}]
)
def test_a_changed_manifest_is_reported(video, change):
    stored = json.loads(manifest_path(video).read_text())
    manifest_path(video).write_text(json.dumps({**stored, **change}))
    assert not check(video)["ok"]


def test_missing_tags_and_other_files_are_reported(tmp_path, document, video):
    with VideoWriter(tmp_path / "bare.mp4", (96, 64), 25) as writer:
        writer.write(picture(0))
    write_manifest(tmp_path / "bare.mp4", document)
    result = check(tmp_path / "bare.mp4")
    assert not result["ok"] and result["hash_matches"] and result["tags_match"] is False
    (tmp_path / "noise.mp4").write_bytes(b"noise")
    result = check(tmp_path / "noise.mp4")
    assert not result["ok"] and not result["synthetic"] and len(result["problems"]) == 2
    with pytest.raises(InputError):
        check(tmp_path / "absent.mp4")


def test_the_manifest_of_another_result_is_reported(tmp_path, document, video):
    other = manifest("render", {"audio": tmp_path / "speech.wav"}, {})
    write_manifest(video, other)
    result = check(video)
    assert not result["ok"] and result["tags_match"] is False and result["hash_matches"]


def test_a_folder_of_frames_has_a_manifest(tmp_path, document):
    with FramesWriter(tmp_path / "f", (96, 64), 25) as writer:
        writer.write(picture(0))
    assert write_manifest(tmp_path / "f", document).name == "f.json"
    assert check(tmp_path / "f")["ok"]
    (tmp_path / "f" / "000000.png").write_bytes(b"x")
    assert check(tmp_path / "f")["hash_matches"] is False


def test_without_pyav_the_hash_is_checked_and_the_tags_are_not(video, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    result = check(video)
    assert result["ok"] and result["tags_match"] is None


def reencoded(source: Path, target: Path, keep: bool = True) -> Path:
    """The video encoded anew, with or without its tags."""
    from jean.media import read_frames

    with VideoWriter(target, (96, 64), 25, crf=40, metadata=read_tags(source) if keep else {}) as writer:
        for _, image in read_frames(source):
            writer.write(image)
    return target


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("with_manifest", [True, False])
def test_a_copy_that_was_encoded_anew_is_known_by_its_tags(tmp_path, video, keep, with_manifest):
    copy = reencoded(video, tmp_path / "copy.mp4", keep)
    if with_manifest:
        manifest_path(copy).write_bytes(manifest_path(video).read_bytes())
    result = check(copy)
    assert not result["ok"] and result["tagged"] is keep and result["synthetic"] is (keep or with_manifest)
    assert result["hash_matches"] is (False if with_manifest else None)


@pytest.mark.parametrize("name", ["other.mp4", "no_suffix", "film.bin"])
def test_a_renamed_result_is_known_by_its_tags(tmp_path, video, name):
    result = check(video.rename(tmp_path / name))
    assert not result["ok"] and result["synthetic"] and result["tagged"] is True


def test_verify_says_what_the_tags_say_and_prints_the_facts_as_json(tmp_path, video, capsys):
    from jean_cli.main import main

    copy = reencoded(video, tmp_path / "copy.mp4")
    with pytest.raises(SystemExit) as exit_:
        main(["verify", str(copy), "--json"])
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert exit_.value.code == 4 and facts["error"]["exit_code"] == 4
    assert facts["synthetic"] and facts["tagged"] and facts["problems"] and facts["manifest"] is None
    assert "The tags inside say that it is synthetic." in err and err.count("\n") == 1


def test_an_absent_input_is_rejected(tmp_path):
    with pytest.raises(InputError, match="absent"):
        manifest("render", {"audio": tmp_path / "absent.wav"}, {})
