"""Completion of commands, options and values in bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment with ``jean`` on the path and an empty home."""
    executable = tmp_path / "bin" / "jean"
    executable.parent.mkdir()
    executable.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jean_cli "$@"\n')
    executable.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    path = f"{executable.parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(home), "PYTHONPATH": str(ROOT)}


def bash(script: str, environment: dict[str, str]) -> list[str]:
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


COMPLETE = """
source ~/.bash_completions/jean.sh
COMP_WORDS=({words} ""); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - {back} ))
_jean_completion jean
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "back", "expected"),
    [
        ("jean rend", 2, ["render"]),
        ("jean render --pose-m", 2, ["--pose-mode"]),
        ("jean render --pose-mode", 1, ["relative", "absolute"]),
        ("jean models pu", 2, ["pull"]),
    ],
)
def test_bash_completes(words: str, back: int, expected: list[str], environment: dict[str, str]) -> None:
    bash("jean --install-completion; true", environment)
    assert bash(COMPLETE.format(words=words, back=back), environment) == expected
