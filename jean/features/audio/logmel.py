"""Log-mel spectrogram: the default audio feature, which needs no download.

80 mel bands from 20 to 7600 Hz, windows of 40 ms every 20 ms: 50 rows per second and 16 rows (0.32 s) per video frame,
the input shape of the paper's audio network. The audio is first scaled to a common speech level. No other statistics
of the clip are used, so new audio is treated in the same way. The scale of the values is fixed: 0 is silence (60 dB
below speech level), 1 is 60 dB above silence. So the zeros that pad a window beyond the ends of the audio mean silence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jean.errors import InputError, SetupError
from jean.media.rates import RATE_HZ
from jean.row_file import gather_rows

HOP = 320  # samples between rows: 20 ms
WINDOW = 640  # samples per row: 40 ms; neighbours overlap by half, so that no short sound falls between two rows
FFT = 1024
BANDS = 80
LOW_HZ, HIGH_HZ = 20.0, 7600.0
RANGE_DB = 60.0
SPEECH_RMS = 0.07  # about -23 dB below full scale, the usual level of speech recordings
MAX_GAIN = 100.0  # +40 dB; quieter audio is noise and stays quiet
VOICED_DB = 25.0  # blocks up to this much below the loudest ones count as speech
CHUNK = 500  # rows per batch (ten seconds), so that memory does not grow with the length


class LogMel:
    """Log-mel spectrogram; see ``AudioFeatures``."""

    name = "logmel"
    version = "1"
    width = BANDS
    window = 16
    rate_hz = RATE_HZ / HOP

    def extract(self, wave: np.ndarray) -> np.ndarray:
        """Features float32 [N, 80] of a mono waveform [S] at 16 kHz; N = S // 320 + 1, values from 0 to about 1.3.

        Raises:
            InputError: the waveform is not one-dimensional, or has NaN or infinite samples.
            SetupError: librosa is missing.
        """
        wave = np.asarray(wave, np.float32)
        if wave.ndim != 1:
            raise InputError(f"the audio has shape {wave.shape}, not mono [S].", "Mix it down to one channel.")
        if not all(np.isfinite(piece).all() for piece in _pieces(wave)):
            raise InputError("the audio has samples that are not numbers.", "Export the audio again.")
        librosa = _library()
        bank = librosa.filters.mel(sr=RATE_HZ, n_fft=FFT, n_mels=BANDS, fmin=LOW_HZ, fmax=HIGH_HZ)
        gain = speech_gain(wave)
        rows = len(wave) // HOP + 1

        def features(first: int) -> np.ndarray:
            power = _power(wave, first, min(first + CHUNK, rows)) * gain**2
            return _scale(power @ bank.T).astype(np.float32, copy=False)

        return gather_rows(features(first) for first in range(0, rows, CHUNK))


def speech_gain(wave: np.ndarray) -> float:
    """The gain that scales the speech in a waveform [S] to ``SPEECH_RMS``.

    Only blocks within ``VOICED_DB`` of the loudest tenth are measured, so that pauses do not change the gain.
    """
    blocks = wave[: len(wave) // HOP * HOP].reshape(-1, HOP)
    if len(blocks) == 0:
        return 1.0
    squares = [np.mean(np.square(piece, dtype=np.float64), axis=1) for piece in _pieces(blocks)]
    rms = np.sqrt(np.concatenate(squares))
    loud = np.percentile(rms, 90)
    voiced = rms[rms >= loud * 10 ** (-VOICED_DB / 20)]
    level = float(np.sqrt(np.mean(voiced**2)))
    return min(SPEECH_RMS / level, MAX_GAIN) if level > 0 else 1.0


def _pieces(values: np.ndarray) -> list[np.ndarray]:
    """Views of successive parts, so that what is computed of each takes little memory, also for hours of sound."""
    length = CHUNK * (HOP if values.ndim == 1 else 1)
    return [values[first : first + length] for first in range(0, len(values), length)]


def _power(wave: np.ndarray, first: int, last: int) -> np.ndarray:
    """Power spectra [last - first, FFT // 2 + 1] of the windows centred at row · HOP, with zeros beyond the ends."""
    begin, end = first * HOP - WINDOW // 2, (last - 1) * HOP + WINDOW // 2
    piece = np.pad(wave[max(begin, 0) : end], (max(-begin, 0), max(end - len(wave), 0)))
    windows = np.lib.stride_tricks.sliding_window_view(piece, WINDOW)[::HOP]
    taper = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft(windows * taper, FFT)
    # so that each bin of white noise holds its mean square, for any taper
    return (np.square(np.abs(spectrum)) / np.sum(taper**2)).astype(np.float32)


def _scale(mel: np.ndarray) -> np.ndarray:
    """Maps mel power to decibels, with 0 for silence and 1 for ``RANGE_DB`` above it."""
    silence = SPEECH_RMS**2 * 10 ** (-RANGE_DB / 10)
    return np.maximum(10.0 * np.log10(np.maximum(mel, 1e-20) / silence), 0.0) / RANGE_DB


def _library() -> Any:
    """Imports librosa."""
    try:
        import librosa
    except ImportError as error:
        raise SetupError(f"librosa cannot be loaded ({error}).", "Run: pip install librosa") from error
    return librosa
