"""The shell pipelines of ``examples/``, with a stand-in for ``jean`` that notes how it is called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

STAND_IN = """#!/usr/bin/env bash
for word in "$@"; do printf '%s\\n' "$word" >> "$CALLS"; done; echo === >> "$CALLS"
for word in "$@"; do case $word in *bad*) echo "error: bad input" >&2; exit 3;; esac; done
"""


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    stand_in = tmp_path / "bin" / "jean"
    stand_in.parent.mkdir()
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    return tmp_path


def call(bench: Path, script: str, *arguments: str, **variables: str) -> tuple[int, list[list[str]], str]:
    """Exit code, the calls of jean, stderr."""
    calls = bench / "calls"
    calls.unlink(missing_ok=True)
    environment = {**os.environ, "PATH": f"{bench / 'bin'}:{os.environ['PATH']}", "CALLS": str(calls), **variables}
    done = subprocess.run(
        [EXAMPLES / script, *arguments], cwd=bench, env=environment, capture_output=True, text=True, check=False
    )
    text = calls.read_text() if calls.exists() else ""
    return done.returncode, [part.strip("\n").split("\n") for part in text.split("===\n")[:-1]], done.stderr


@pytest.mark.parametrize("video", ["a.mp4", "-my video; 映画 'x'.mp4"])
def test_own_video(bench: Path, video: str) -> None:
    code, calls, _ = call(bench, "own_video.sh", video, "speech 1.wav", "a head", MINUTES="3")
    assert code == 0
    assert calls == [
        ["prepare", "-o", "a head/clip", "--preview", "--yes", "--", video],
        ["train-nerf", "-o", "a head/run", "--minutes", "3", "--", "a head/clip"],
        ["render", "--audio", "speech 1.wav", "-o", "a head/result.mp4", "--", "a head/run"],
    ]


def test_own_video_stops_at_the_first_failure(bench: Path) -> None:
    code, calls, err = call(bench, "own_video.sh", "bad.mp4", "a.wav")
    assert code == 3
    assert len(calls) == 1
    assert "bad input" in err


@pytest.mark.parametrize("script", ["own_video.sh", "dub.sh", "mead.sh"])
def test_usage(bench: Path, script: str) -> None:
    code, calls, err = call(bench, script, "one")
    assert (code, calls) == (2, [])
    assert "usage" in err


def test_dub(bench: Path) -> None:
    names = ["a b.wav", "-c.wav", "d'\"e.flac"]
    code, calls, err = call(bench, "dub.sh", "run 1", "clip 1", "out 1", *names, JOBS="1")
    assert (code, err) == (0, "")
    assert [item[item.index("--audio") + 1] for item in calls] == names
    assert [item[item.index("-o") + 1] for item in calls] == ["out 1/a b.mp4", "out 1/-c.mp4", "out 1/d'\"e.mp4"]
    assert all(item[-2:] == ["--", "run 1"] for item in calls)


def test_dub_goes_on_after_a_failure(bench: Path) -> None:
    code, calls, err = call(bench, "dub.sh", "run", "clip", "out", "a.wav", "bad.wav", "c.wav", JOBS="2")
    assert code == 1
    assert len(calls) == 3
    assert "failed: bad.wav: error: bad input" in err
    assert [path.name for path in (bench / "out").iterdir()] == ["bad.mp4.log"]


def test_dub_refuses_two_of_one_name(bench: Path) -> None:
    code, calls, err = call(bench, "dub.sh", "run", "clip", "out", "x/a.wav", "y/a.mp3")
    assert (code, calls) == (2, [])
    assert "share the name a.mp4" in err


def mead(folder: Path) -> None:
    """Empty files in MEAD's layout: two people, four emotions, three sentences."""
    for person in ("M003", "W011"):
        for emotion, level in (("neutral", 1), ("angry", 3), ("happy", 3), ("sad", 3)):
            for number in range(1, 4):
                path = folder / f"{person}/video/front/{emotion}/level_{level}/{number:03d}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()


def test_mead(bench: Path) -> None:
    mead(bench / "MEAD")
    sound = bench / "out/clips/M003/video/front/neutral/level_1/003/audio.wav"
    sound.parent.mkdir(parents=True)
    sound.touch()
    code, calls, err = call(bench, "mead.sh", "MEAD", "M003", "out", EMOTION="emoca", STEPS="9")
    assert (code, err) == (0, "")
    by_name: dict[str, list[list[str]]] = {}
    for each in calls:
        by_name.setdefault(each[0], []).append(each)
    counts = {name: len(found) for name, found in by_name.items()}
    assert counts == {
        "models": 1,
        "prepare": 24 + 4,
        "train-landmarks": 1,
        "train-audio": 1,
        "train-expr": 2,
        "train-nerf": 7,
        "render": 28,
        "evaluate": 1,
    }
    first = by_name["prepare"][0]
    assert (
        first[-1] == "MEAD/M003/video/front/angry/level_3/001.mp4"
        and "out/clips/M003/video/front/angry/level_3/001" in first
    )
    joined = [each for each in by_name["prepare"] if "--concat" in each]
    assert all(("--tracks-only" in each) != ("--concat" in each) for each in by_name["prepare"])
    # the last video of each emotion is kept back, and the other emotions are like neutral
    assert all([Path(word).name for word in each[each.index("--") + 1 :]] == ["001.mp4", "002.mp4"] for each in joined)
    assert ["--like" in each for each in joined] == [False, True, True, True]
    methods = {each[each.index("--method") + 1]: each for each in by_name["train-nerf"]}
    assert set(methods) == {"jean", "audio-only", "expression-only", "a", "b", "c", "d"}
    assert {name for name, each in methods.items() if "--audio" in each} == {"jean", "c", "d"}
    assert {name for name, each in methods.items() if "--expr" in each} == {"jean", "d"}
    assert all("out/clips/M003/video/front/neutral/level_1/003/audio.wav" in each for each in by_name["render"])
    assert sum("--expression" in each for each in by_name["render"]) == 24  # audio-only has none


def test_mead_goes_on_without_an_emotion(bench: Path) -> None:
    import shutil

    mead(bench / "MEAD")
    shutil.rmtree(bench / "MEAD/M003/video/front/angry")
    sound = bench / "out/clips/M003/video/front/neutral/level_1/003/audio.wav"
    sound.parent.mkdir(parents=True)
    sound.touch()
    code, calls, err = call(bench, "mead.sh", "MEAD", "M003", "out", METHODS="d")
    assert (code, err) == (0, "")
    assert sum(each[0] == "render" for each in calls) == 3 and calls[-1][0] == "evaluate"


def test_mead_without_the_person_stops(bench: Path) -> None:
    mead(bench / "MEAD")
    code, calls, err = call(bench, "mead.sh", "MEAD", "M999", "out")
    assert (code, calls) == (3, []) and "M999" in err


def test_the_options_used_exist() -> None:
    from jean_cli.main import COMMANDS

    for script in EXAMPLES.glob("*.sh"):
        for line in script.read_text("utf-8").replace("\\\n", " ").splitlines():
            for command in COMMANDS:
                if f"jean {command.name} " not in line:
                    continue
                known = {option for parameter in command.click_command().params for option in parameter.opts}
                used = {word for word in line.split(" -- ")[0].split() if word.startswith("--")}
                assert used <= known, script
