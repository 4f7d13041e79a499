"""Data and runs that the tests of several stages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.tiny_corpus import make_corpus


@pytest.fixture(scope="session")
def two_people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with track-only clips of two people, two sentences each, happy and sad. Read-only."""
    return make_corpus(tmp_path_factory.mktemp("two_people"))


@pytest.fixture(scope="session")
def landmark_run(two_people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a landmark autoencoder that was trained for 400 steps. Read-only."""
    from jean.progress import Silent
    from jean.train.landmarks.config import LandmarkConfig
    from jean.train.landmarks.stage import train_landmarks

    run = tmp_path_factory.mktemp("runs") / "landmarks"
    train_landmarks([two_people], run, LandmarkConfig(preset="small", steps=400, batch=64, device="cpu"), Silent())
    return run
