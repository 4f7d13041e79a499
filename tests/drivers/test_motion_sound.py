"""Sound features of the motion model."""

from __future__ import annotations

import numpy as np
import pytest

from jean.drivers import motion_sound
from jean.drivers.motion_sound import LOUDNESS, SPEAKING, WIDTH, sound_features
from jean.media.rates import RATE_HZ

VOICING, PITCH, MEDIAN = WIDTH - 5, WIDTH - 4, WIDTH - 3


def tone(hz: np.ndarray | float, seconds: float) -> np.ndarray:
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hz, round(seconds * RATE_HZ))) / RATE_HZ
    return (0.1 * sum(np.sin(k * phase) / k for k in range(1, 9))).astype(np.float32)


@pytest.mark.parametrize("hz", [90, 120, 220, 350])
def test_the_pitch_of_a_tone_is_found(hz):
    features = sound_features(tone(hz, 2.0))[5:-5]
    assert features[:, VOICING].min() > 0.9
    assert features[:, MEDIAN] == pytest.approx(np.log2(hz / 160), abs=0.03)


def test_a_rising_pitch_rises():
    hz = np.linspace(110, 180, 2 * RATE_HZ)
    pitch = sound_features(tone(hz, 2.0))[5:-5, PITCH]
    assert np.corrcoef(pitch, np.arange(len(pitch)))[0, 1] > 0.99


def test_silence_has_no_voice():
    features = sound_features(np.zeros(RATE_HZ, np.float32))
    assert features.shape == (25, WIDTH) and np.isfinite(features).all()
    assert not features[:, VOICING].any() and features[:, LOUDNESS].max() < 0


def test_speech_and_its_loudness_are_seen():
    wave = np.concatenate([tone(120, 1.0), np.zeros(RATE_HZ, np.float32)])
    features = sound_features(wave)
    assert features[5:20, SPEAKING].min() == 1 and features[32:45, SPEAKING].max() == 0
    assert features[5:20, LOUDNESS].min() > features[30:45, LOUDNESS].max() + 1


def test_pieces_do_not_show(monkeypatch):
    random = np.random.default_rng(0)
    wave = tone(np.interp(np.arange(5 * RATE_HZ), [0, 5 * RATE_HZ], [100, 200]), 5.0) * 0.5
    wave += (0.01 * random.standard_normal(len(wave))).astype(np.float32)
    whole = sound_features(wave)
    monkeypatch.setattr(motion_sound, "_PIECE_S", 1)
    monkeypatch.setattr(motion_sound, "_PITCH_PIECE_S", 1)
    assert np.allclose(sound_features(wave), whole, atol=1e-3)


@pytest.mark.parametrize("samples", [0, 1, 639, 641, 16001])
def test_every_length_has_a_frame_per_started_forty_milliseconds(samples):
    assert len(sound_features(np.zeros(samples, np.float32))) == -(-samples // 640)
