"""Speech with phoneme times."""

from __future__ import annotations

import numpy as np
import pytest

from jean.errors import SetupError
from jean.lips.spectrum import mel_power
from jean.train.lips import voices
from jean.train.lips.articulation import NAMES
from jean.train.lips.augment import augment, resampled_rows


def test_the_own_voice_is_loud_where_its_phonemes_are(monkeypatch):
    monkeypatch.setattr(voices, "SENTENCES_PER_JOB", 1)
    ((wave, segments),) = voices.speak(("own", 1))
    power = mel_power(wave).sum(1)
    assert abs(segments[-1][2] - len(wave) / 16000) < 0.02
    loud = [
        power[int(start * 100) : int(end * 100)].mean() for name, start, end in segments if name in ("AA", "IY", "AE")
    ]
    silent = [power[int(start * 100) + 3 : int(end * 100) - 3].mean() for name, start, end in segments if name == "SIL"]
    assert min(loud) > 100 * max(silent)


def test_the_same_seed_gives_the_same_speech(monkeypatch):
    monkeypatch.setattr(voices, "SENTENCES_PER_JOB", 1)
    first, again, other = (voices.speak(("own", seed))[0] for seed in (3, 3, 4))
    assert np.array_equal(first[0], again[0]) and first[1] == again[1]
    assert first[1] != other[1]


def test_sentences_are_varied():
    random = np.random.default_rng(0)
    sentences = {voices.sentence(random) for _ in range(50)}
    assert len(sentences) == 50 and all(sentence.endswith(".") for sentence in sentences)


def test_every_symbol_stands_for_a_phoneme():
    assert set(voices._IPA.values()) | set(voices._FLITE_NAMES.values()) <= set(NAMES)


@pytest.mark.parametrize("voice", ["flite", "espeak"])
def test_a_missing_synthesizer_is_named(voice, monkeypatch):
    monkeypatch.setattr(voices.shutil, "which", lambda name: None)
    monkeypatch.setattr(voices.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(SetupError, match=voice):
        voices.check_voices((voice,))


def test_augmented_spectra_keep_their_length_and_their_course():
    random = np.random.default_rng(0)
    power = np.random.default_rng(1).exponential(1.0, (300, 64)).astype(np.float32)
    power[100:200] *= 1e-5  # a pause
    for _ in range(20):
        spectrum = augment(power, random)
        assert spectrum.shape == (300, 64) and np.isfinite(spectrum).all()
        assert spectrum[120:180].mean() < spectrum[:90].mean()


def test_rates_change_by_at_most_a_quarter():
    random = np.random.default_rng(0)
    for _ in range(50):
        rows = resampled_rows(200, random)
        assert 159 <= len(rows) <= 250 and rows[0] == 0 and rows[-1] <= 199 and (np.diff(rows) >= 0).all()
