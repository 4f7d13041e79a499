"""Distillation: a lip prior learns what another one, its teacher, predicts for speech without measured lips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jean.errors import InputError
from jean.lips.prior import LipPrior
from jean.lips.spectrum import HOP, ROWS_HZ, mel_power
from jean.media.container import VIDEO_SUFFIXES
from jean.train.lips.data import LabelledSpeech
from jean.train.lips.recordings import Recorder

SOUND_SUFFIXES = VIDEO_SUFFIXES | {".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus"}
PIECE_S = 10  # longer recordings are cut, as each excerpt of a recording changes all of it


def sound_files(paths: Sequence[Path]) -> list[Path]:
    """The files of ``paths``, and those below its folders that may hold sound, sorted.

    Raises:
        InputError: a path does not exist, or a folder holds no such file.
    """
    found: list[Path] = []
    for path in paths:
        files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.suffix.lower() in SOUND_SUFFIXES)
        if not files:
            raise InputError(f"{path} holds no sound.", "Give sound or video files, or folders of them.")
        found += files
    return found


class Teacher:
    """A prior that labels speech for another one, its pupil.

    Args:
        prior: the teacher.
        recorder: makes what the pupil reads.

    Attributes:
        speech: all speech that was labelled so far.
    """

    def __init__(self, prior: LipPrior, recorder: Recorder):
        self.prior, self.recorder, self.speech = prior, recorder, LabelledSpeech()

    def label(self, wave: np.ndarray) -> None:
        """Adds a sound [S], mono, 16 kHz, with the teacher's predictions for it; the pupil reads it changed."""
        power = mel_power(wave)
        if not len(power):
            return
        pieces = list(self.prior.in_pieces(self.prior.source.rows(wave, power)))
        lips = np.concatenate([piece[1] for piece in pieces]).astype(np.float32)
        phonemes = np.concatenate([piece[2] for piece in pieces]).astype(np.float16)
        step = PIECE_S * ROWS_HZ
        for first in range(0, len(power), step):
            rows = slice(first, min(first + step, len(power)))
            recording = self.recorder.record(wave[first * HOP : rows.stop * HOP])
            self.speech.add(recording, lips[rows], phonemes[rows])
