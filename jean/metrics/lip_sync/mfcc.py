"""Cepstral coefficients as SyncNet's authors made them, in pieces, so that an hour of sound fits."""

from __future__ import annotations

import numpy as np

from jean.media.rates import RATE_HZ

HOP = 160  # samples between rows: 10 ms
FRAME = 400  # samples that a row sees: 25 ms
WIDTH = 13


def row_count(samples: int) -> int:
    """Rows of ``samples`` samples of sound; the last one may be filled up with silence."""
    return 1 if samples <= FRAME else 1 + -(-(samples - FRAME) // HOP)


def mfcc_rows(audio: np.ndarray, first: int, stop: int) -> np.ndarray:
    """Rows ``first`` to ``stop`` of ``python_speech_features.mfcc(audio, 16000)``, float64 [rows, 13].

    A row depends on its own 400 samples and the one before them (pre-emphasis), so a piece that begins
    one row earlier gives the same values as the whole.

    Args:
        audio: int16 [S], mono, 16 kHz.
        first, stop: 0 ≤ first < stop ≤ ``row_count(S)``.

    Raises:
        SetupError: python_speech_features is not installed.
    """
    try:
        from python_speech_features import mfcc
    except ImportError as error:
        from jean.errors import SetupError

        raise SetupError(
            "python_speech_features is missing (it makes the sound's features for LSE).",
            "Run: pip install python_speech_features",
        ) from error
    lead = 1 if first else 0
    piece = audio[(first - lead) * HOP : (stop - 1) * HOP + FRAME]
    return mfcc(piece, RATE_HZ, numcep=WIDTH)[lead : lead + stop - first]
