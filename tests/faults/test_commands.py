"""Outputs that cannot be written, names of files, JSON, signals and memory: every command, as a user starts it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jean.media import read_audio, read_frames, write_wav
from tests.faults.conftest import Trainer, require_one_line, spaced
from tests.faults.server import Commands
from tests.helpers.fault_report import Tally
from tests.helpers.media_make import chirp, make_video

pytestmark = pytest.mark.timeout(7200)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A short sound and a short video without a face."""
    folder = tmp_path_factory.mktemp("media")
    write_wav(folder / "speech.wav", (0.3 * np.sin(np.arange(16000) / 10)).astype(np.float32), 16000)
    make_video(folder / "wall.mp4", 10, audio=chirp(0.4, 48000))
    return {"speech": folder / "speech.wav", "video": folder / "wall.mp4"}


def _commands(trainers: dict[str, Trainer], whole, media) -> dict[str, tuple[Any, ...]]:
    """One command line, without its output, of every command that writes."""
    run = whole("fast")["folder"]
    lines = {name: (trainer.name, *trainer.arguments, "--steps", trainer.steps) for name, trainer in trainers.items()}
    lines["prepare"] = ("prepare", media["video"], "--yes")
    lines["render"] = ("render", run, "--audio", media["speech"])
    lines["evaluate"] = ("evaluate", media["video"], "--reference", media["video"])
    lines["inspect"] = ("inspect", run)
    lines["demo"] = ("demo", "--short")
    return lines


def shown(video: Path) -> str:
    """Hash of the frames and the sound of a video, without its tags, which hold the time."""
    content = hashlib.sha256()
    for _, image in read_frames(video):
        content.update(image.tobytes())
    content.update(read_audio(video).tobytes())
    return content.hexdigest()


@pytest.mark.slow
@pytest.mark.fault(4)
def test_an_output_that_cannot_be_written_is_found_first(trainers, commands: Commands, whole, media, tally, tmp_path):
    """The output lies under a file. Root may write everywhere else, so permissions would not be tested."""
    (tmp_path / "file").write_text("")
    for name, line in _commands(trainers, whole, media).items():
        with tally.case(name):
            output = tmp_path / "file" / ("out.mp4" if name == "render" else "out")
            begun = time.monotonic()
            require_one_line(commands.run(*line, "-o", output), 5)
            assert time.monotonic() - begun < (5 if tally.full else 30)  # other work may share the cores


@pytest.mark.slow
@pytest.mark.fault(22)
def test_names_of_files_never_reach_a_shell(trainers, commands: Commands, whole, media, tally: Tally, tmp_path):
    names = ("two words", "映画 ő", "a'b\"c;touch canary;$(touch canary)", "-leading", "*?[x]", "new\nline")
    want: set[str] = set()
    for name in names if tally.full else names[:3]:
        with tally.case(repr(name)):
            folder = tmp_path / name
            folder.mkdir()
            speech = folder / f"{name}.wav"
            speech.write_bytes(media["speech"].read_bytes())
            run = folder / f"run {name}"
            os.symlink(whole("fast")["folder"], run)
            output = folder / f"{name}.mp4"
            ended = commands.run("render", run, "--audio", speech, "-o", output, "--json")
            assert ended.code == 0, ended.err
            assert json.loads(ended.out)
            want.add(shown(output))
            assert len(want) == 1, "the result depends on the name"
    assert not list(tmp_path.rglob("canary")) and not Path("canary").exists()


@pytest.mark.slow
@pytest.mark.fault(29)
def test_json_is_one_document_of_every_command(trainers, commands: Commands, whole, media, tally: Tally, tmp_path):
    """Finished work and failures alike: one document or nothing on stdout, no escape sequence anywhere."""
    for name, line in _commands(trainers, whole, media).items():
        if name == "demo":
            continue
        with tally.case(name):
            suffix = ".mp4" if name == "render" else ""
            ended = commands.run(*line, "-o", tmp_path / f"{name}{suffix}", "--json")
            assert "\x1b" not in ended.out + ended.err and "Traceback" not in ended.err
            assert isinstance(json.loads(ended.out), dict)
            assert ended.code in (0, 3, 5), ended.err


@pytest.mark.slow
@pytest.mark.fault(5)
def test_a_stopped_render_leaves_nothing_half_written_and_resumes(commands, whole, media, tally: Tally, tmp_path):
    run = whole("fast")["folder"]
    command = ("render", run, "--audio", media["speech"], "--size", 64)
    assert commands.run(*command, "-o", tmp_path / "whole.mp4").code == 0
    draw = random.Random(1)
    stopped = 0
    for number in range(tally.count(20, 2)):
        signum = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)[number % 3]
        with tally.case(f"{signal.Signals(signum).name} {number}"):
            output = tmp_path / f"{number}.mp4"
            pid = commands.start(*command, "-o", output)
            time.sleep(draw.uniform(0.2, 2.0))
            os.kill(pid, signum)
            ended = commands.wait(pid)
            stopped += ended.code != 0
            assert ended.code in (0, 128 + signum, -signum), ended.err
            # a signal between the last rename and the end of the process finds a whole result
            assert not output.exists() or shown(output) == shown(tmp_path / "whole.mp4")
            assert commands.run(*command, "-o", output).code == 0
            assert shown(output) == shown(tmp_path / "whole.mp4")
            assert not list(tmp_path.glob(".*partial*"))
    assert stopped, "no render was stopped"


@pytest.mark.slow
@pytest.mark.fault(9)
def test_a_render_without_memory_ends_with_5_or_is_whole(commands, whole, media, tally: Tally, tmp_path):
    run = whole("fast")["folder"]
    command = ("render", run, "--audio", media["speech"], "--size", 512)
    assert commands.run(*command, "-o", tmp_path / "whole.mp4").code == 0
    here = int(Path(f"/proc/{commands.server.pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    for more in spaced(1 << 20, 1200 << 20, tally.count(12, 2)):
        with tally.case(f"{more >> 20} MiB"):
            output = tmp_path / f"{more}.mp4"
            ended = commands.run(*command, "-o", output, address_space=here + more)
            if ended.code != 0:
                require_one_line(ended, 5)
                assert not output.exists()
                assert commands.run(*command, "-o", output).code == 0
            assert shown(output) == shown(tmp_path / "whole.mp4")
