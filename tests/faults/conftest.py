"""What the fault suite works on: commands, trainers with tiny data, and the outcomes of undisturbed runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jean.checkpoint import load_checkpoint
from tests.faults.server import Commands, Ended
from tests.helpers.tiny_clip import make_clip, move_lips
from tests.helpers.tiny_corpus import make_corpus
from tests.helpers.tiny_motion import write_motion_clips


@dataclass(frozen=True)
class Trainer:
    """A training command with small data.

    Attributes:
        name: the command.
        arguments: everything but the output.
        steps: optimisation steps; a tenth of them passes before the first checkpoint.
    """

    name: str
    arguments: tuple[Any, ...]
    steps: int

    def command(self, folder: Path, *more: Any) -> tuple[Any, ...]:
        """The command line that trains in ``folder``."""
        return (self.name, *self.arguments, "--steps", self.steps, "--device", "cpu", "-o", folder, *more)


@pytest.fixture(scope="package")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    server = Commands(tmp_path_factory.mktemp("output"))
    yield server
    server.close()


@pytest.fixture(scope="package")
def trainers(tmp_path_factory: pytest.TempPathFactory, commands: Commands) -> dict[str, Trainer]:
    """Every trainer, by a short name."""
    folder = tmp_path_factory.mktemp("material")
    corpus = make_corpus(folder / "corpus")
    clip = move_lips(make_clip(folder / "clip", frames=12, size=24))
    tiny = make_clip(folder / "tiny", frames=12, size=8)  # every pixel of the preset paper takes 192 samples
    for person in range(2):
        move_lips(make_clip(folder / "lips" / f"p{person}" / "happy_001", frames=75, size=8, seed=person))
    people = write_motion_clips(folder / "people")
    landmarks = folder / "landmarks"
    small = ("--preset", "small", "--set", "batch=32")
    made = commands.run("train-landmarks", corpus, *small, "--steps", 60, "--device", "cpu", "-o", landmarks)
    assert made.code == 0, made.err
    return {
        "landmarks": Trainer("train-landmarks", (corpus, *small), 200),
        "audio": Trainer("train-audio", (corpus, "--landmarks", landmarks, *small), 200),
        "expression": Trainer("train-expr", (corpus / "p0", *small[:2], *sets("batch=8", "layers=1", "hidden=32")), 60),
        "lips": Trainer("train-lips", (folder / "lips", "--set", "batch=4"), 20),
        "motion": Trainer("train-motion", (people, *sets("batch=4", "hidden=16", "layers=1", "critic_steps=3")), 40),
        "fast": Trainer("train-nerf", (clip, "--preset", "fast", *sets("rays=64", "frames_per_step=2")), 60),
        "paper": Trainer("train-nerf", (tiny, "--preset", "paper", "--set", "rays=4"), 16),
        "gaussian": Trainer("train-nerf", (clip, "--set", "rays=144"), 16),
    }


@pytest.fixture(scope="package")
def whole(
    trainers: dict[str, Trainer], commands: Commands, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Any]]:
    """Returns the outcome of an undisturbed run of a trainer, with the folder as ``folder``; trained once."""
    made: dict[str, dict[str, Any]] = {}

    def train(name: str) -> dict[str, Any]:
        if name not in made:
            folder = tmp_path_factory.mktemp("whole") / name
            ended = commands.run(*trainers[name].command(folder))
            assert ended.code == 0, ended.err
            made[name] = {**outcome(folder), "folder": folder}
        return made[name]

    return train


def sets(*assignments: str) -> tuple[str, ...]:
    """Options ``--set`` of a command line."""
    return tuple(word for assignment in assignments for word in ("--set", assignment))


def outcome(folder: Path) -> dict[str, Any]:
    """The parts of a run folder that must be equal between a disturbed and an undisturbed run."""
    metrics = json.loads((folder / "metrics.json").read_text())
    payload = metrics.get("payload", metrics)
    return {
        "checkpoint": load_checkpoint(folder).content_hash,
        "log": (folder / "log.jsonl").read_text(),
        "metrics": {key: value for key, value in payload.items() if not key.endswith(("seconds", "_per_s", "sha256"))},
    }


def require_same(folder: Path, whole: dict[str, Any]) -> None:
    """Asserts that a run equals the undisturbed one."""
    found = outcome(folder)
    for key, value in found.items():
        assert value == whole[key], f"{key} differs from the undisturbed run"


def require_one_line(ended: Ended, code: int) -> None:
    """Asserts that a command failed with an exit code, one error line and no traceback."""
    assert ended.code == code, f"exit {ended.code} instead of {code}: {ended.err[-300:]}"
    assert "Traceback" not in ended.err
    assert len(ended.lines) == 1, ended.err[-300:]


def spaced(low: float, high: float, count: int) -> list[int]:
    """``count`` whole numbers between two limits, evenly spaced."""
    return [int(value) for value in np.linspace(low, high, count)]
