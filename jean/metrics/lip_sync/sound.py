"""The speech that lip-sync metrics compare the lips with: loading, hashing, cepstral coefficients."""

from __future__ import annotations

import numpy as np

from jean.clips.sources import open_source
from jean.errors import InputError, SetupError
from jean.media.rates import RATE_HZ
from jean.metrics.base import Sound

MFCC_HOP = 160  # samples between rows of coefficients: 10 ms
MFCC_WINDOW = 400  # samples per row: 25 ms
MFCC_COUNT = 13  # coefficients per row


def load_sound(sound: Sound) -> np.ndarray:
    """Samples of ``sound`` from the start of the result on, int16 [S], mono, 16 kHz.

    Raises:
        InputError: the file has no sound.
    """
    from jean.media import read_audio

    path = open_source(sound.path).sound()
    if path is None:
        raise InputError(f"{sound.path} has no sound.", "Give --audio-source a file with sound.")
    return to_int16(read_audio(path))[round(sound.start_s * RATE_HZ) :]


def sound_digest(sound: Sound) -> str:
    """SHA-256 of the file that holds the sound, in hex."""
    from jean.files import sha256

    return sha256(open_source(sound.path).sound() or sound.path)


def to_int16(audio: np.ndarray) -> np.ndarray:
    """Converts float samples [S] in [-1, 1] to int16 by rounding, as a 16-bit WAV file stores them.

    >>> to_int16(np.array([0.0, 0.5, 1.0, -1.0])).tolist()
    [0, 16384, 32767, -32768]
    """
    return np.clip(np.round(np.asarray(audio, np.float64) * 32768.0), -32768, 32767).astype(np.int16)


def mfcc_row_count(samples: int) -> int:
    """Number of rows of cepstral coefficients for ``samples`` samples; the last row may be padded with silence."""
    return 1 if samples <= MFCC_WINDOW else 1 + -(-(samples - MFCC_WINDOW) // MFCC_HOP)


def mfcc_rows(audio: np.ndarray, first: int, stop: int) -> np.ndarray:
    """Rows ``first`` to ``stop`` of ``python_speech_features.mfcc(audio, 16000)``, as SyncNet's authors use it.

    A row depends on its own 400 samples and the sample before them (pre-emphasis). Computing a piece that starts one
    row early therefore gives the same values as computing the whole, and an hour of sound fits into memory.

    Args:
        audio: int16 [S], mono, 16 kHz.
        first, stop: 0 ≤ first < stop ≤ ``mfcc_row_count(S)``.

    Returns:
        float64 [stop − first, 13].

    Raises:
        SetupError: python_speech_features is not installed.
    """
    try:
        from python_speech_features import mfcc
    except ImportError as error:
        raise SetupError(
            "python_speech_features is missing (LSE needs it to compute audio features).",
            "Run: pip install python_speech_features",
        ) from error
    lead = 1 if first else 0
    piece = audio[(first - lead) * MFCC_HOP : (stop - 1) * MFCC_HOP + MFCC_WINDOW]
    return mfcc(piece, RATE_HZ, numcep=MFCC_COUNT)[lead : lead + stop - first]
