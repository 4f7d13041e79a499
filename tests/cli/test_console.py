"""The reporter: bars on a terminal, lines elsewhere, nothing with --quiet."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from jean.progress import Progress, Silent
from jean_cli import console
from jean_cli.console import Reporter, one_line, plain, print_json


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(progress: Progress) -> None:
    with progress.task("frames [of] a clip", 3) as advance:
        advance(1)
        progress.say("a [bold]message[/bold]")
        with progress.task("inner", None) as inner:
            inner(5, "PSNR 24.1 dB")
        advance(2, note="[x]")
    progress.warn("look\nat this")


def test_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    work(Reporter())
    shown = terminal.getvalue()
    assert "frames [of] a clip" in shown
    assert "a [bold]message[/bold]" in shown
    assert "warning: look at this\n" in shown
    assert capsys.readouterr().out == ""


def test_piped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(console, "_PLAIN_EVERY_S", 0.0)
    work(Reporter())
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    assert "frames [of] a clip: 1 of 3, " in err
    assert "inner: 5  PSNR 24.1 dB\n" in err
    assert "frames [of] a clip: 3 of 3, 0 s left  [x]\n" in err


def test_piped_lines_are_rare(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter().task("steps", 1000) as advance:
        for _ in range(1000):
            advance(1)
    assert capsys.readouterr().err == ""


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    work(Reporter(quiet=True))
    assert capsys.readouterr() == ("", "warning: look at this\n")


def test_silent(capsys: pytest.CaptureFixture[str]) -> None:
    work(Silent())
    assert capsys.readouterr() == ("", "")


def test_results(capsys: pytest.CaptureFixture[str]) -> None:
    result = {"path": Path("a b"), "psnr_db": 24.123456, "list": [1, None], "inner": {"n": np.float32(1.5)}}
    Reporter().finish(result)
    assert capsys.readouterr().out == "path: a b\npsnr_db: 24.12\nlist: [1, null]\ninner.n: 1.5\n"
    Reporter().finish(result, "a table")
    assert capsys.readouterr().out == "a table\n"
    Reporter(json_output=True).finish(result, "a table")
    assert json.loads(capsys.readouterr().out) == {
        "path": "a b",
        "psnr_db": 24.123456,
        "list": [1, None],
        "inner": {"n": 1.5},
    }


def test_plain_values() -> None:
    value = {1: np.array([[1.0, np.nan]]), "b": (float("inf"), True, None, np.int64(3)), "c": np.bool_(True)}
    assert plain(value) == {"1": [[1.0, None]], "b": [None, True, None, 3], "c": True}


def test_json_survives_any_file_name(capsys: pytest.CaptureFixture[str]) -> None:
    name = "映画 \udcff \x1b \n.mp4"
    print_json({"name": name})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out)["name"] == name


def test_one_line() -> None:
    assert one_line("a\nb\x1b[0m \udcff 映画") == r"a b\x1b[0m \udcff 映画"
