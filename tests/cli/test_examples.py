"""The shell pipelines of ``examples/``, with a stand-in for ``jean`` that notes how it is called."""

from __future__ import annotations

import os
import shutil
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


def test_own_video_with_an_emotion_network(bench: Path) -> None:
    code, calls, _ = call(bench, "own_video.sh", "a.mp4", "b.wav", EMOTION="emoca")
    assert code == 0
    prepare, train = calls[:2]
    assert prepare[prepare.index("--emotion-features") + 1] == "emoca"
    assert {"expression=emotion", "emotion_features=emoca", "expression_exchange=0.5"} <= set(train)


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


def mead(folder: Path, numbers: int = 5) -> None:
    """Empty files in MEAD's layout: three people, four emotions."""
    for person in ("M003", "W009", "W011"):
        for emotion, level in (("neutral", 1), ("angry", 3), ("happy", 3), ("sad", 3)):
            for number in range(1, numbers + 1):
                path = folder / f"{person}/video/front/{emotion}/level_{level}/{number:03d}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()


def held_out_clips(bench: Path, people: tuple[str, ...] = ("M003", "W009"), tests: tuple[int, ...] = (3, 4, 5)) -> None:
    """The clips that ``jean prepare`` would make of the held-out videos."""
    for person in people:
        for emotion, level in (("neutral", 1), ("angry", 3), ("happy", 3), ("sad", 3)):
            for number in tests:
                folder = bench / f"out/tests/{person}/video/front/{emotion}/level_{level}/{number:03d}"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "clip.json").touch()
                (folder / "audio.wav").touch()


def calls_by_name(calls: list[list[str]]) -> dict[str, list[list[str]]]:
    by_name: dict[str, list[list[str]]] = {}
    for each in calls:
        by_name.setdefault(each[0], []).append(each)
    return by_name


def value(call: list[str], option: str) -> str:
    return call[call.index(option) + 1]


def test_mead(bench: Path) -> None:
    mead(bench / "MEAD")
    held_out_clips(bench)
    (bench / "out/results/eamm").mkdir(parents=True)
    code, calls, err = call(bench, "mead.sh", "MEAD", "out", "M003", "W009", STEPS="9", SYSTEMS="EAMM=other/eamm")
    assert (code, err) == (0, "")
    named = calls_by_name(calls)
    assert {name: len(found) for name, found in named.items()} == {
        "models": 1,
        "prepare": 2 * 2 + 1 + 2 * 4,  # training and test videos of two people, the third person, joined clips
        "train-landmarks": 1,
        "train-audio": 1,
        "train-expr": 4,
        "train-nerf": 2 * 8,
        "render": 2 * 8 * 4 * 3,
        "evaluate": 1,
    }
    assert calls[0] == ["models", "pull", "--for", "evaluate"]
    assert all("deepspeech" in each and "--skip-unusable" in each for each in named["prepare"])
    methods = {value(each, "--method"): each for each in named["train-nerf"] if "--method" in each}
    assert set(methods) == {"jean", "audio-only", "expression-only", "a", "b", "c", "d"}
    assert {name for name, each in methods.items() if "--audio" in each} == {"jean", "c", "d"}
    assert {name for name, each in methods.items() if "--expr" in each} == {"jean", "d"}
    (figure6, _) = [each for each in named["train-nerf"] if "--method" not in each]
    assert value(figure6, "--set") == "expression=none" and value(figure6, "--audio") == "out/audio"
    assert value(methods["jean"], "--preset") == "paper"
    (evaluation,) = named["evaluate"]
    assert "--allow-missing" not in evaluation and "EAMM=other/eamm" in evaluation
    without = [evaluation[i + 1] for i, word in enumerate(evaluation) if word == "--no-expression"]
    assert without == [] or set(without) <= {"audio-only", "figure6"}  # results of the stand-in do not exist


def test_mead_holds_the_tests_out_of_every_stage(bench: Path) -> None:
    mead(bench / "MEAD")
    held_out_clips(bench)
    code, calls, err = call(bench, "mead.sh", "MEAD", "out", "M003", "W009", METHODS="jean")
    assert (code, err) == (0, "")
    links = {
        part: {
            path.relative_to(bench / "out/videos" / part).as_posix()
            for path in (bench / f"out/videos/{part}").rglob("*.mp4")
        }
        for part in ("train", "test")
    }
    assert not links["train"] & links["test"]
    assert {name.split("/")[-1] for name in links["test"]} == {"003.mp4", "004.mp4", "005.mp4"}
    assert not any(name.startswith("W011") for name in links["test"]), "nothing of the other people is held out"
    assert all((bench / "out/videos/train" / name).resolve().is_relative_to(bench / "MEAD") for name in links["train"])
    for each in calls:
        if each[0] in ("train-landmarks", "train-audio", "train-expr"):
            assert each[-1] == "out/clips"
        if "--concat" in each:
            assert {Path(word).name for word in each[each.index("--") + 1 :]} == {"001.mp4", "002.mp4"}
    joined = [each for each in calls if "--concat" in each]
    assert ["--like" in each for each in joined] == [False] * 8  # the stand-in makes no neutral clip


def test_mead_drives_with_several_speeches_and_the_pose_of_the_expression(bench: Path) -> None:
    mead(bench / "MEAD")
    held_out_clips(bench)
    _, calls, _ = call(bench, "mead.sh", "MEAD", "out", "M003", METHODS="jean audio-only figure6")
    renders = [each for each in calls if each[0] == "render"]
    assert len(renders) == 3 * 4 * 3
    speeches = {value(each, "--audio") for each in renders}
    assert len(speeches) == 3 and all("neutral" in each for each in speeches)
    for each in renders:
        driven = Path(value(each, "-o")).parent.name == "jean"
        assert ("--expression" in each) == driven and value(each, "--pose-mode") == "absolute"
        assert not driven or value(each, "--pose") == value(each, "--expression")
        assert not value(each, "--audio").startswith(value(each, "--pose") + "/"), (
            "no test is driven by one video alone"
        )
    rows = (bench / "out/pairs.csv").read_text().splitlines()
    assert len(rows) == 1 + 12 and rows[0] == "result,person,expression,speech"


def test_mead_goes_on_without_an_emotion_and_after_failures(bench: Path) -> None:
    mead(bench / "MEAD")
    shutil.rmtree(bench / "MEAD/M003/video/front/angry")
    held_out_clips(bench)
    shutil.rmtree(bench / "out/tests/M003/video/front/angry")
    code, calls, err = call(bench, "mead.sh", "MEAD", "out", "M003", METHODS="d bad", EMOTION="none")
    assert code == 1 and "M003 has no angry videos." in err and "exit 3: jean train-nerf" in err
    assert sum(each[0] == "render" for each in calls) == 3 * 3 and calls[-1][0] == "evaluate"


def test_mead_without_the_person_or_the_weights_stops(bench: Path) -> None:
    mead(bench / "MEAD")
    code, calls, err = call(bench, "mead.sh", "MEAD", "out", "M999")
    assert (code, calls) == (3, []) and "M999" in err
    stand_in = bench / "bin/jean"
    stand_in.write_text(STAND_IN.replace("for word", '[ "$1" != models ] || exit 5\nfor word', 1))
    code, calls, err = call(bench, "mead.sh", "MEAD", "out", "M003")
    assert (code, calls) == (5, []) and "ALLOW_MISSING=1" in err


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
