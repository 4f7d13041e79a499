"""Speech input: windows of files, and the gate that closes the mouth in pauses."""

from __future__ import annotations

import numpy as np
import pytest

from jean.clips.clip import Clip
from jean.drivers import voice
from jean.drivers.speech import SpeechInput, silence_gate, speech_gate
from jean.drivers.voice import VoiceDetector, levels_db, voiced
from jean.errors import ArtefactError, InputError
from jean.features.audio.logmel import LogMel
from jean.media import write_wav
from tests.helpers.tiny_clip import make_clip


def test_windows_of_a_file_have_the_shape_of_the_training(tmp_path):
    clip = make_clip(tmp_path / "a")
    description = Clip.open(clip).audio_specs["logmel"].to_json()
    shape = (20, description["window"], description["width"])
    assert SpeechInput("logmel", description).windows_of_file(clip / "audio.wav", 25.0).shape == shape
    silent = SpeechInput("logmel", description, silent=True)
    assert silent.kind == "none" and not silent.windows_of_file(clip / "audio.wav", 25.0).any()
    assert not silent.windows(Clip.open(clip)).any()


def test_another_extractor_version_is_refused(tmp_path):
    clip = make_clip(tmp_path / "a")
    description = Clip.open(clip).audio_specs["logmel"].to_json() | {"version": "0"}
    with pytest.raises(ArtefactError, match="version"):
        SpeechInput("logmel", description).windows_of_file(clip / "audio.wav", 25.0)


def test_a_file_without_samples_is_refused(tmp_path):
    description = Clip.open(make_clip(tmp_path / "a")).audio_specs["logmel"].to_json()
    write_wav(tmp_path / "empty.wav", np.zeros(0, np.float32), 16000)
    with pytest.raises(InputError):
        SpeechInput("logmel", description).windows_of_file(tmp_path / "empty.wav", 25.0)


def test_the_gate_closes_in_pauses_but_not_in_closures():
    speaking = np.zeros(60, bool)
    speaking[10:20] = speaking[23:40] = True  # three frames in between: a closure
    gate = speech_gate(speaking, 25.0)
    assert (gate[10:40] == 1).all() and (gate[:6] == 0).all() and (gate[44:] == 0).all()
    assert (np.diff(gate[6:11]) > 0).all() and (np.diff(gate[39:44]) < 0).all()
    assert (speech_gate(np.zeros(5, bool), 25.0) == 0).all() and (speech_gate(np.ones(5, bool), 25.0) == 1).all()


def test_the_gate_equals_the_distance_to_every_speaking_frame():
    speaking = np.random.default_rng(0).random(400) < 0.02
    speaking[100:160] = False
    gate, filled = speech_gate(speaking, 25.0), speech_gate(speaking, 25.0) == 1
    nearest = np.abs(np.arange(400)[:, None] - np.flatnonzero(filled)).min(1)
    reach = np.flatnonzero(np.diff(gate) < 0)[0]  # the first ramp gives the length of the fade
    step = gate[reach] - gate[reach + 1]
    assert np.allclose(gate, np.clip(1 - nearest * step, 0, 1))


def test_gated_frames_have_the_features_of_silence():
    random = np.random.default_rng(0)
    wave = np.zeros(32000, np.float32)
    wave[8000:24000] = 0.3 * np.sin(np.arange(16000) / 5)
    wave += 1e-4 * random.standard_normal(32000).astype(np.float32)
    windows = random.random((50, 16, 80)).astype(np.float32)
    gated = silence_gate(windows, wave, LogMel(), 25.0, VoiceDetector("loudness", voiced))
    assert np.array_equal(gated[20:30], windows[20:30])
    assert np.abs(gated[:5]).max() < 1e-6 and np.abs(gated[-5:]).max() < 1e-6  # zero is silence in log-mel


def test_loudness_does_not_depend_on_the_blocks_of_the_sum(monkeypatch):
    wave = np.random.default_rng(3).normal(size=16000).astype(np.float32) * np.linspace(0, 1, 16000)
    whole = levels_db(wave, 25, 25.0)
    middle = np.square(wave[8000 - 640 : 8000 + 640]).mean()  # frame 12, and half of each neighbour
    np.testing.assert_allclose(whole[12], 10 * np.log10(middle), rtol=1e-9)
    monkeypatch.setattr(voice, "BLOCK", 777)
    np.testing.assert_allclose(levels_db(wave, 25, 25.0), whole, rtol=1e-9)
