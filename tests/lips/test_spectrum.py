"""The mel spectrum of the lip prior."""

from __future__ import annotations

import numpy as np
import pytest

from jean.lips import spectrum
from jean.lips.spectrum import BANDS, mel_power, normalise, speaking
from jean.media import RATE_HZ


def tone(hz, seconds=1.0, amplitude=0.1):
    return amplitude * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)


def test_a_tone_is_in_the_band_of_its_frequency():
    librosa = pytest.importorskip("librosa")
    centres = librosa.mel_frequencies(BANDS + 2, fmin=60, fmax=7600, htk=True)[1:-1]
    for hz in (200.0, 1000.0, 4000.0):
        power = mel_power(tone(hz))
        assert power.shape == (100, BANDS)
        assert np.argmax(power[50]) == np.argmin(np.abs(centres - hz))


def test_rows_are_centred_at_hundredths_of_a_second():
    wave = np.zeros(RATE_HZ)
    wave[RATE_HZ // 2] = 1.0  # a click at 0.5 s
    assert np.argmax(mel_power(wave).sum(1)) == 50


def test_level_and_constant_filters_do_not_change_the_normalised_spectrum():
    power = np.random.default_rng(0).exponential(1.0, (300, BANDS)).astype(np.float32)
    response = np.exp(np.linspace(-1, 1, BANDS)).astype(np.float32)
    np.testing.assert_allclose(normalise(power * 1e-4), normalise(power), atol=1e-3)
    difference = np.abs(normalise(power * response) - normalise(power))
    assert np.median(difference) < 0.02


def test_speech_is_told_from_the_pause_around_it():
    wave = np.concatenate([np.zeros(RATE_HZ), tone(300), np.zeros(RATE_HZ)])
    speech = speaking(mel_power(wave))
    assert speech[100:200].all() and not speech[:85].any() and not speech[215:].any()


def test_blocks_have_no_seams(monkeypatch):
    sound = np.random.default_rng(0).normal(size=RATE_HZ + 77)
    whole = mel_power(sound)
    for rows in (1, 7, 99):
        monkeypatch.setattr(spectrum, "_BLOCK", rows)
        np.testing.assert_allclose(mel_power(sound), whole, rtol=1e-4)


def test_no_sound_gives_no_rows():
    assert mel_power(np.zeros(100)).shape == normalise(mel_power(np.zeros(100))).shape == (0, BANDS)
