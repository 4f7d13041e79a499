"""Memory of generated motion: besides the sound, a long result takes some numbers per frame."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jean.drivers import motion_sampling, motion_sound
from jean.drivers.motion import Act, generate
from jean.drivers.motion_model import MOTION_FILE, load_motion_model
from jean.drivers.person import read_person
from jean.drivers.person_motion import move_person
from jean.lips import recording
from jean.media import write_wav
from jean.progress import Silent
from jean.rendering.act import act
from jean.rendering.act_config import ActConfig
from tests.helpers.tiny_motion import write_motion_run

LENGTHS_S = (8, 24)
SOUND = 64_000  # bytes of float32 samples per second
FRAMES = 25  # per second


@pytest.fixture
def pieces(monkeypatch) -> None:
    """Everything is computed in pieces that are much shorter than the sounds."""
    monkeypatch.setattr(recording, "PIECE_ROWS", 200)
    monkeypatch.setattr(motion_sound, "_PIECE_S", 2)
    monkeypatch.setattr(motion_sound, "_PITCH_PIECE_S", 2)
    monkeypatch.setattr(motion_sampling, "_PIECE", 50)
    monkeypatch.setattr("jean.rendering.act._PIECE", 50)
    monkeypatch.setattr("jean.drivers.person_motion._PIECE", 50)
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


def test_act_keeps_the_sound_and_little_else(pieces, tmp_path):
    motion = write_motion_run(tmp_path / "motion", tracker="truth")

    def work(audio: Path) -> None:
        act(motion, ActConfig(audio=audio, emotion="sad"), tmp_path / audio.stem, Silent())

    work(sound(tmp_path, 1))  # what is loaded once
    assert growth(work, tmp_path) < SOUND + 400 * FRAMES


def test_motion_of_a_render_keeps_what_drives_its_frames(pieces, trained, tmp_path):
    model = load_motion_model(write_motion_run(tmp_path / "motion", tracker="truth") / MOTION_FILE)
    person, shape = read_person(trained / "run"), model.network.shape.double().numpy()

    def work(audio: Path) -> None:
        motion = generate(model, audio, Act("sad"), print)
        times_s = (np.arange(len(motion)) + 0.5) / 25
        moved = move_person(motion, person, shape, None, times_s)
        sizes[audio.stem] = sum(value.nbytes for value in vars(moved).values() if isinstance(value, np.ndarray))

    sizes: dict[str, int] = {}
    work(sound(tmp_path, 1))
    result = sizes["1"] / FRAMES
    assert growth(work, tmp_path) < max(SOUND + 400 * FRAMES, (result + 600) * FRAMES)
