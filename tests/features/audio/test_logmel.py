import sys

import numpy as np
import pytest

from jean.errors import InputError, SetupError
from jean.features.audio.logmel import BANDS, CHUNK, FFT, HIGH_HZ, HOP, LOW_HZ, WINDOW, LogMel, _power, speech_gain

RATE = 16000


def noise(seconds, seed=0, level=0.05):
    return (np.random.default_rng(seed).standard_normal(int(seconds * RATE)) * level).astype(np.float32)


def test_mel_powers_agree_with_librosa():
    import librosa

    wave = noise(1.3)
    spectrum = librosa.stft(wave, n_fft=FFT, hop_length=HOP, win_length=WINDOW, pad_mode="constant")
    bank = librosa.filters.mel(sr=RATE, n_fft=FFT, n_mels=BANDS, fmin=LOW_HZ, fmax=HIGH_HZ)
    taper_power = np.sum(np.hanning(WINDOW + 1)[:-1] ** 2)
    ours = _power(wave, 0, len(wave) // HOP + 1) @ bank.T * taper_power
    want = np.abs(spectrum.T) ** 2 @ bank.T
    assert ours.shape == want.shape
    np.testing.assert_allclose(ours, want, rtol=1e-3, atol=1e-6)


def test_rows_are_aligned_in_time():
    wave = np.zeros(2 * RATE, np.float32)
    wave[RATE : RATE + 80] = 0.5  # a click at one second: row 50
    features = LogMel().extract(wave)
    assert features.shape == (2 * RATE // HOP + 1, BANDS)
    assert features.sum(axis=1).argmax() in (50, 51)
    assert features[:48].max() == 0 and features[53:].max() == 0


def test_a_higher_tone_is_in_a_higher_band():
    times = np.arange(RATE) / RATE
    bands = [
        LogMel().extract(0.1 * np.sin(2 * np.pi * hz * times).astype(np.float32))[25].argmax() for hz in (200, 2000)
    ]
    assert bands[0] < bands[1]


def test_features_do_not_depend_on_loudness():
    wave = noise(2.0) * np.repeat([0.1, 1.0, 0.3, 1.0], RATE // 2).astype(np.float32)
    np.testing.assert_allclose(LogMel().extract(wave), LogMel().extract(wave * 0.05), atol=1e-4)


def test_pauses_do_not_change_the_gain():
    speech = noise(2.0)
    with_pause = np.concatenate([speech, np.zeros(4 * RATE, np.float32)])
    assert speech_gain(with_pause) == pytest.approx(speech_gain(speech), rel=0.05)


def test_silence_is_zero_and_background_noise_is_not_amplified():
    assert LogMel().extract(np.zeros(RATE, np.float32)).max() == 0
    assert speech_gain(np.zeros(RATE, np.float32)) == 1.0
    assert speech_gain(noise(1, level=1e-7)) == 100.0


def test_chunks_do_not_change_the_result():
    wave = noise(CHUNK * HOP / RATE + 3)
    whole = LogMel().extract(wave)
    seam = slice(CHUNK - 3, CHUNK + 3)
    import librosa

    bank = librosa.filters.mel(sr=RATE, n_fft=FFT, n_mels=BANDS, fmin=LOW_HZ, fmax=HIGH_HZ)
    power = _power(wave, CHUNK - 3, CHUNK + 3) * speech_gain(wave) ** 2
    from jean.features.audio.logmel import _scale

    np.testing.assert_allclose(whole[seam], _scale(power @ bank.T), atol=1e-5)


@pytest.mark.parametrize("samples", [0, 1, 319, 320, 641])
def test_audio_of_any_length_is_accepted(samples):
    features = LogMel().extract(noise(1)[:samples])
    assert features.shape == (samples // HOP + 1, BANDS) and np.isfinite(features).all()


def test_invalid_audio_is_rejected():
    with pytest.raises(InputError, match="not numbers"):
        LogMel().extract(np.array([0.0, np.nan], np.float32))
    with pytest.raises(InputError, match="mono"):
        LogMel().extract(np.zeros((2, 100), np.float32))


def test_without_librosa_the_error_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(SetupError, match="pip install librosa"):
        LogMel().extract(noise(0.1))


def test_the_gain_of_long_sound_takes_little_memory_and_is_that_of_the_whole():
    import tracemalloc

    wave = np.random.default_rng(0).standard_normal(5 * 60 * 16000).astype(np.float32) * 0.05
    wave[1_000_000:2_000_000] *= 0.01
    blocks = wave.reshape(-1, 320).astype(np.float64)
    rms = np.sqrt((blocks**2).mean(1))
    spoken = rms[rms >= np.percentile(rms, 90) * 10 ** (-25 / 20)]
    expected = 0.07 / np.sqrt((spoken**2).mean())
    tracemalloc.start()
    gain = speech_gain(wave)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert gain == expected and peak < wave.nbytes / 2, "in double precision the whole is twice as large as the sound"
