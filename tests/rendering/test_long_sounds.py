"""Memory of generated motion: a long result takes some numbers per frame; sound and tracks lie in unnamed files."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jean import row_file
from jean.drivers import motion_sampling, motion_sound
from jean.drivers.motion import Act, generate
from jean.drivers.motion_model import MOTION_FILE, load_motion_model
from jean.drivers.person import read_person
from jean.drivers.person_motion import move_person
from jean.lips import spectrum
from jean.media import write_wav
from jean.progress import Silent
from jean.rendering.act import act
from jean.rendering.act_config import ActConfig
from tests.helpers.tiny_motion import write_motion_run

LENGTHS_S = (8, 24)
FRAMES = 25  # per second
NUMBERS = 800  # bytes per frame; the samples alone are 2560, landmarks 544


@pytest.fixture
def pieces(monkeypatch) -> None:
    """Everything is computed in pieces that are much shorter than the sounds."""
    monkeypatch.setattr(row_file, "IN_MEMORY", 1 << 14)
    monkeypatch.setattr(row_file, "BLOCK", 50)
    monkeypatch.setattr(spectrum, "_BLOCK", 200)
    monkeypatch.setattr("jean.media.wav.BLOCK", 16000)
    monkeypatch.setattr(motion_sound, "_PIECE_S", 2)
    monkeypatch.setattr(motion_sound, "_PITCH_PIECE_S", 2)
    monkeypatch.setattr(motion_sampling, "_PIECE", 50)
    monkeypatch.setattr("jean.rendering.act._PIECE", 50)
    monkeypatch.setattr("jean.clips.arrays._BLOCK", 50)


def sound(folder: Path, seconds: int) -> Path:
    """A tone that comes and goes."""
    times = np.arange(16000 * seconds) / 16000
    wave = 0.2 * np.sin(2 * np.pi * 140 * times) * (np.sin(6 * times) > 0)
    write_wav(folder / f"{seconds}.wav", wave.astype(np.float32), 16000)
    return folder / f"{seconds}.wav"


def growth(work: Callable[[Path], object], folder: Path) -> float:
    """Bytes by which the peak of numpy's and Python's memory grows per second of sound."""
    peaks = []
    for seconds in LENGTHS_S:
        path = sound(folder, seconds)
        tracemalloc.start()
        try:
            work(path)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return (peaks[1] - peaks[0]) / (LENGTHS_S[1] - LENGTHS_S[0])


def test_act_keeps_some_numbers_per_frame(pieces, tmp_path):
    motion = write_motion_run(tmp_path / "motion", tracker="truth")

    def work(audio: Path) -> None:
        act(motion, ActConfig(audio=audio, emotion="sad"), tmp_path / audio.stem, Silent())

    work(sound(tmp_path, 1))  # what is loaded once
    assert growth(work, tmp_path) < NUMBERS * FRAMES


def test_so_does_the_motion_of_a_render(pieces, trained, tmp_path):
    model = load_motion_model(write_motion_run(tmp_path / "motion", tracker="truth") / MOTION_FILE)
    person, shape = read_person(trained / "run"), model.network.shape.double().numpy()

    def work(audio: Path) -> None:
        motion = generate(model, audio, Act("sad"), print)
        move_person(motion, person, shape, None, (np.arange(len(motion)) + 0.5) / FRAMES)

    work(sound(tmp_path, 1))
    assert growth(work, tmp_path) < NUMBERS * FRAMES
