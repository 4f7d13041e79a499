"""``jean models`` as a shell sees it: lists, licences, folders, what has another content."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
import typer

from jean.weights import store as weights
from jean_cli.main import main

CONTENT = b"weights" * 1000


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return int(caught.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights and a register with a free and a restricted file that nobody serves."""
    facts = {
        "used_by": "a test",
        "licence": "MIT",
        "restricted": False,
        "bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "urls": ["http://127.0.0.1:1/x"],
    }
    register = {
        "free.bin": {"command": "prepare", **facts},
        "bound.bin": {"command": "evaluate", **facts, "licence": "research only", "restricted": True},
    }
    (tmp_path / "weights.json").write_text(json.dumps(register))
    monkeypatch.setattr(weights, "REGISTER", tmp_path / "weights.json")
    monkeypatch.setenv("JEAN_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "models"


def test_list_tells_state_use_licence_and_remedy(folder: Path, capsys: pytest.CaptureFixture) -> None:
    folder.mkdir()
    (folder / "free.bin").write_bytes(CONTENT)
    assert run("models", "list", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)["models"]
    assert (first["name"], first["state"], first["remedy"]) == ("free.bin", "right", None)
    assert (second["state"], second["restricted"], second["command"]) == ("missing", True, "evaluate")
    assert second["remedy"] == "jean models pull bound.bin --accept-licence"
    assert run("models", "list", "--for", "evaluate") == 0
    out = capsys.readouterr().out
    assert "bound.bin" in out and "free.bin" not in out and "research only" in out
    assert run("models", "list", "--for", "nothing") == 2


def test_a_licence_is_asked_for_before_any_download(folder: Path, capsys: pytest.CaptureFixture) -> None:
    """No terminal here: the option is needed, and the free file is not fetched first."""
    assert run("models", "pull") == 2
    assert "--accept-licence" in capsys.readouterr().err
    assert run("models", "pull", "free.bin", "--for", "prepare") == 2
    assert run("models", "pull", "bound.bin", "--accept-licence") == 5, "then only the connection is missing"


@pytest.mark.parametrize(("answer", "code"), [(True, 5), (False, 2)])
def test_on_a_terminal_the_licence_is_asked_about(
    folder: Path, monkeypatch: pytest.MonkeyPatch, answer: bool, code: int
) -> None:
    asked: list[str] = []

    class Terminal:
        @staticmethod
        def isatty() -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "confirm", lambda question, **_: (asked.append(question), answer)[1])
    assert run("models", "pull", "bound.bin") == code
    assert len(asked) == 1 and "research only" in asked[0]
    assert run("models", "pull", "bound.bin", "--json") == 2
    assert len(asked) == 1, "a script is never asked"


def test_import_path_and_verify(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "free.bin").write_bytes(CONTENT)
    (stick / "bound.bin").write_bytes(b"spoilt")
    assert run("models", "import", str(stick), "--json") == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert list(found["imported"]) == ["free.bin"] and "bound.bin is not imported" in told.err
    assert run("models", "path", "free.bin") == 0
    assert capsys.readouterr().out.strip() == str(folder / "free.bin")
    assert run("models", "verify") == 0
    (folder / "free.bin").write_bytes(b"changed")
    assert run("models", "verify") == 4
    assert run("models", "verify", "bound.bin") == 5
    (stick / "free.bin").unlink()
    assert run("models", "import", str(stick)) == 4
    assert run("models", "import", str(tmp_path / "absent")) == 3
