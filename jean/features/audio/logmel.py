"""Log-mel spectrogram: the audio feature that needs no download.

80 mel bands of 20 to 7600 Hz, windows of 40 ms every 20 ms: 50 rows a second and 16 rows (0.32 s) a
video frame, the shape that the paper's audio network takes. The loudness of the whole sound is first
brought to one level; nothing else is measured on the clip, so unseen sound is treated alike.
The scale is fixed: 0 is silence (60 dB under the level of speech), 1 lies 60 dB above that. So the
zeros that pad a window beyond the ends of the sound mean silence too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jean.errors import InputError, SetupError

RATE_HZ = 16000
HOP = 320  # 20 ms
WINDOW = 640  # 40 ms: neighbours overlap by half, so no burst falls between two windows
FFT = 1024
BANDS = 80
LOW_HZ, HIGH_HZ = 20.0, 7600.0
RANGE_DB = 60.0
SPEECH_RMS = 0.07  # about -23 dB of full scale, the usual level of speech recordings
MAX_GAIN = 100.0  # +40 dB: what is quieter than that is noise, and stays quiet
VOICED_DB = 25.0  # blocks up to this far under the loudest ones count as speech
CHUNK = 3000  # rows at a time (a minute), so that memory does not grow with the sound


class LogMel:
    """Log-mel rows; see ``AudioFeatures``."""

    name = "logmel"
    version = "1"
    width = BANDS
    window = 16
    rate_hz = RATE_HZ / HOP

    def extract(self, wave: np.ndarray) -> np.ndarray:
        """float32 [N, 80] from a mono wave [S] at 16 kHz, N = S // 320 + 1, from 0 to about 1.3.

        Raises:
            InputError: the wave is not one-dimensional or holds values that are not finite.
            SetupError: librosa is missing.
        """
        wave = np.asarray(wave, np.float32)
        if wave.ndim != 1:
            raise InputError(f"the sound has shape {wave.shape}, mono [S] is needed.", "Mix it to one channel.")
        if not np.isfinite(wave).all():
            raise InputError("the sound holds values that are not numbers.", "Export it again.")
        librosa = _library()
        bank = librosa.filters.mel(sr=RATE_HZ, n_fft=FFT, n_mels=BANDS, fmin=LOW_HZ, fmax=HIGH_HZ)
        gain = speech_gain(wave)
        rows = len(wave) // HOP + 1
        features = np.zeros((rows, BANDS), np.float32)
        for first in range(0, rows, CHUNK):
            last = min(first + CHUNK, rows)
            power = _power(wave, first, last) * gain**2
            features[first:last] = _scale(power @ bank.T)
        return features


def speech_gain(wave: np.ndarray) -> float:
    """The factor that brings the speech in ``wave`` [S] to ``SPEECH_RMS``.

    Only blocks near the level of the loudest tenth count, so pauses do not raise the rest.
    """
    blocks = wave[: len(wave) // HOP * HOP].reshape(-1, HOP)
    if len(blocks) == 0:
        return 1.0
    rms = np.sqrt(np.mean(np.square(blocks, dtype=np.float64), axis=1))
    loud = np.percentile(rms, 90)
    voiced = rms[rms >= loud * 10 ** (-VOICED_DB / 20)]
    level = float(np.sqrt(np.mean(voiced**2)))
    return min(SPEECH_RMS / level, MAX_GAIN) if level > 0 else 1.0


def _power(wave: np.ndarray, first: int, last: int) -> np.ndarray:
    """Power spectra [last - first, FFT // 2 + 1] of windows centred at row · HOP, zeros beyond the ends."""
    begin, end = first * HOP - WINDOW // 2, (last - 1) * HOP + WINDOW // 2
    piece = np.pad(wave[max(begin, 0) : end], (max(-begin, 0), max(end - len(wave), 0)))
    windows = np.lib.stride_tricks.sliding_window_view(piece, WINDOW)[::HOP]
    taper = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft(windows * taper, FFT)
    # white noise then has its mean square in every bin, whatever the taper
    return (np.square(np.abs(spectrum)) / np.sum(taper**2)).astype(np.float32)


def _scale(mel: np.ndarray) -> np.ndarray:
    """Mel power → 0 for silence, 1 for ``RANGE_DB`` above it."""
    silence = SPEECH_RMS**2 * 10 ** (-RANGE_DB / 10)
    return np.maximum(10.0 * np.log10(np.maximum(mel, 1e-20) / silence), 0.0) / RANGE_DB


def _library() -> Any:
    try:
        import librosa
    except ImportError as error:
        raise SetupError(f"librosa cannot be loaded ({error}).", "Run: pip install librosa") from error
    return librosa
