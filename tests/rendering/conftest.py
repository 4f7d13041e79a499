"""A briefly trained head, and some sound."""

from __future__ import annotations

import numpy as np
import pytest

from jean.media import write_wav
from jean.progress import Silent
from jean.train.nerf.train import NerfConfig, train_nerf
from tests.helpers.tiny_clip import make_clip, move_lips


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with a clip and a run that was trained on it briefly."""
    folder = tmp_path_factory.mktemp("trained")
    clip = move_lips(make_clip(folder / "clip"))
    train_nerf([clip], folder / "run", NerfConfig(steps=60, rays=576, frames_per_step=1), Silent())
    return folder


@pytest.fixture
def speech(tmp_path):
    """0.3 s of sound: 7.5 frames."""
    path = tmp_path / "speech.wav"
    write_wav(path, (0.3 * np.sin(np.arange(4800) / 10)).astype(np.float32), 16000)
    return path
