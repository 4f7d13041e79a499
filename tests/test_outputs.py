"""No command overwrites an input or writes into one; outputs that cannot be written fail early."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from jean.errors import SetupError, UsageError
from jean.files import folder_lock, sweep
from jean.outputs import claim
from jean_cli.main import main
from tests.helpers.tiny_clip import make_clip


def test_outputs_beside_the_inputs_are_fine(tmp_path):
    video = tmp_path / "a.mp4"
    video.write_bytes(b"video")
    claim([video], holders=[tmp_path], files=[tmp_path / "b.mp4"], folders=[tmp_path / "out", tmp_path / "a.mp4.work"])
    assert (tmp_path / "out").is_dir() and not (tmp_path / "b.mp4").exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("a.mp4", "is an input"),
        ("sub/../a.mp4", "is an input"),
        ("link.mp4", "is an input"),
        ("hard.mp4", "is an input"),
        ("clip", "is an input"),
        ("clip/new/b.mp4", "lies inside the input"),
        ("way/b.mp4", "lies inside the input"),
        (".", "is the folder of the inputs"),
        ("sub", "is a folder"),
    ],
)
def test_a_file_may_not_be_an_input_or_lie_inside_one(tmp_path, output, message):
    for name in ("clip", "sub"):
        (tmp_path / name).mkdir()
    (tmp_path / "a.mp4").write_bytes(b"video")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a.mp4")
    os.link(tmp_path / "a.mp4", tmp_path / "hard.mp4")
    (tmp_path / "way").symlink_to(tmp_path / "clip")
    with pytest.raises(UsageError, match=message):
        claim([tmp_path / "a.mp4", tmp_path / "clip"], holders=[tmp_path], files=[tmp_path / output])
    assert not (tmp_path / "clip" / "new").exists()


def test_an_input_may_not_lie_where_files_are_replaced(tmp_path):
    (tmp_path / "png").mkdir()
    with pytest.raises(UsageError, match="is replaced"):
        claim([tmp_path / "png" / "wall.png"], exclusive=[tmp_path / "png"])


def test_what_cannot_be_written_is_a_failure_of_the_machine(tmp_path):
    (tmp_path / "file").write_text("")
    for outputs in ({"files": [tmp_path / "file" / "a.mp4"]}, {"folders": [tmp_path / "file" / "out"]}):
        with pytest.raises(SetupError, match="cannot write"):
            claim([], **outputs)


COMMANDS = {
    "prepare": ["prepare", "clip/audio.wav", "-o", "clip"],
    "prepare-link": ["prepare", "clip/audio.wav", "-o", "link"],
    "train-landmarks": ["train-landmarks", "clip", "-o", "clip/run"],
    "train-audio": ["train-audio", "clip", "--landmarks", "run", "-o", "run"],
    "train-expr": ["train-expr", "person", "-o", "person/happy_001/run"],
    "train-lips": ["train-lips", "clip", "-o", "clip/run"],
    "train-motion": ["train-motion", "clip", "-o", "clip/run"],
    "act": ["act", "builtin", "--audio", "clip/audio.wav", "-o", "clip/audio.wav"],
    "train-nerf": ["train-nerf", "clip", "-o", "clip"],
    "train-nerf-holder": ["train-nerf", "person", "-o", "person"],
    "evaluate": ["evaluate", "clip", "--reference", "other", "--set", "tracker=reference", "-o", "other"],
    "evaluate-holder": ["evaluate", "person", "--reference", "person", "-o", "person"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_an_output_that_is_an_input(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    for folder in ("clip", "other", "person/happy_001", "person/sad_001"):
        make_clip(Path(folder), frames=3, size=16)
    Path("run").mkdir()
    Path("link").symlink_to("clip")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name[0] != "."}
    with pytest.raises(SystemExit) as exit_:
        main([*COMMANDS[name], "--json"])
    out, err = capsys.readouterr()
    assert exit_.value.code == 2, err
    assert "Choose another --output" in err and json.loads(out)["error"]["exit_code"] == 2
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name[0] != "."}


def test_unfinished_files_of_killed_processes_are_removed_by_the_holder_of_the_lock(tmp_path):
    (tmp_path / ".a.mp4.12345.partial.mp4").write_bytes(b"half")
    (tmp_path / ".f_frames.12345.partial").mkdir()
    kept = [tmp_path / ".weights.bin.0123456789ab.partial", tmp_path / "a.12345.partial", tmp_path / ".b.partial.mp4"]
    for path in kept:
        path.write_bytes(b"kept")  # a download that can be resumed, and files of others
    sweep(tmp_path, "other.mp4")
    assert (tmp_path / ".a.mp4.12345.partial.mp4").exists()
    with folder_lock(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([".lock", *(path.name for path in kept)])
