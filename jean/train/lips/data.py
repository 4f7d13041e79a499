"""Data of the lip prior's training: synthetic speech with lip targets, and real clips with measured lips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jean.clips.corpus import CorpusClip
from jean.cluster.calls import map_in_processes
from jean.drivers.lip_style import clip_lips
from jean.errors import InputError
from jean.lips.parameters import OPENING, WIDTH
from jean.lips.prior import LipPrior
from jean.lips.spectrum import ROWS_HZ, mel_power
from jean.lips.sync import NATURAL_S, Sync, find_sync
from jean.media import read_audio
from jean.progress import Progress
from jean.train.lips.articulation import lip_targets, phoneme_classes
from jean.train.lips.augment import augment, resampled_rows
from jean.train.lips.voices import SENTENCES_PER_JOB, check_voices, speak

EXCERPT = 240  # rows of an excerpt: 2.4 s
BEFORE, AFTER = 60, 20  # further rows that the prior sees around a real excerpt
_TARGET_SECONDS = 3.0  # mean length of a synthetic sentence, to choose their number


@dataclass(frozen=True)
class SyntheticSpeech:
    """Sentences of N rows each.

    Attributes:
        power: mel power [N, 64] of each.
        lips: lip targets [N, 5] of each, with a standard deviation of 1 over all sentences.
        phonemes: phoneme class [N] of each.
    """

    power: list[np.ndarray]
    lips: list[np.ndarray]
    phonemes: list[np.ndarray]

    def batch(self, size: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Augmented spectra [B, L, 64], lips [B, L, 5] and phoneme classes [B, L] of random excerpts."""
        excerpts = [self._excerpt(int(random.integers(len(self.power))), random) for _ in range(size)]
        spectra, lips, phonemes = (np.stack(column) for column in zip(*excerpts, strict=True))
        return spectra, lips, phonemes

    def _excerpt(self, number: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = resampled_rows(len(self.power[number]), random)
        spectrum = augment(self.power[number][rows], random)
        first = int(random.integers(max(1, len(rows) - EXCERPT + 1)))
        span = np.minimum(np.arange(first, first + EXCERPT), len(rows) - 1)
        return spectrum[span], self.lips[number][rows][span], self.phonemes[number][rows][span]


def synthetic_speech(minutes: int, voices: Sequence[str], seed: int, progress: Progress) -> SyntheticSpeech:
    """Speaks sentences with each of the synthesizers in turn.

    Args:
        minutes: about as much.
        voices: names of synthesizers, see ``jean.train.lips.voices``.
        seed: decides sentences and voices.
        progress: counts parts.
    """
    check_voices(tuple(voices))
    count = max(len(voices), round(minutes * 60 / _TARGET_SECONDS / SENTENCES_PER_JOB))
    jobs = [(voices[number % len(voices)], seed * 100_000 + number) for number in range(count)]
    parts = list(map_in_processes(_spoken, jobs, "speak", progress))
    power, lips, phonemes = (list(column) for column in zip(*(s for part in parts for s in part), strict=True))
    scale = np.concatenate(lips).std(0)
    return SyntheticSpeech(power, [values / scale for values in lips], phonemes)


def _spoken(job: tuple[str, int]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    sentences = []
    for wave, segments in speak(job):
        power = mel_power(wave)
        sentences.append((power, lip_targets(segments, len(power)), phoneme_classes(segments, len(power))))
    return sentences


@dataclass(frozen=True)
class RealLips:
    """A clip's sound and measured lips.

    Attributes:
        name: of the clip.
        power: mel power [N, 64].
        wave: mono, 16 kHz, [S].
        times_s: times of the frames [T] in the sound, s; corrected where that is late.
        lips: opening and width [T, 2], cm; NaN without a face.
    """

    name: str
    power: np.ndarray
    wave: np.ndarray
    times_s: np.ndarray
    lips: np.ndarray

    @classmethod
    def read(cls, clip: CorpusClip) -> RealLips:
        """Reads a clip.

        Raises:
            InputError: the clip has no sound.
        """
        opened = clip.open()
        wave = read_audio(opened.sound())
        times_s = opened.arrays["times_s"] + opened.sound_late_s
        return cls(clip.name, mel_power(wave), wave, times_s, clip_lips(opened))

    def sync(self, prior: LipPrior) -> Sync:
        """The lag within the natural range at which the lips agree best with a prior.

        Raises:
            InputError: the clip has less than a second of lips.
        """
        sync = find_sync(
            prior.track(self.wave).values[:, [OPENING, WIDTH]], self.times_s, self.lips, around_s=NATURAL_S
        )
        if sync is None:
            raise InputError(f"the clip {self.name} has less than a second of moving lips.", "Leave it out.")
        return sync

    def aligned(self, prior: LipPrior) -> AlignedLips:
        """The lips at the rows of ``power``, moved by the lag that a prior finds."""
        seen = np.isfinite(self.lips).all(1)
        lip_times_s = np.arange(len(self.power)) / ROWS_HZ - self.sync(prior).lag_s
        times_s = self.times_s[seen]
        values = np.stack([np.interp(lip_times_s, times_s, column) for column in self.lips[seen].T], 1)
        inside = np.flatnonzero((lip_times_s >= times_s[0]) & (lip_times_s <= times_s[-1]))
        values = values - values[inside].mean(0)
        values /= np.maximum(values[inside].std(0), 1e-6)
        return AlignedLips(self.power, values.astype(np.float32), int(inside[0]), int(inside[-1]) + 1)


@dataclass(frozen=True)
class AlignedLips:
    """A clip's sound, and its lips at the same rows.

    Attributes:
        power: mel power [N, 64].
        lips: opening and width [N, 2], standardised.
        first, end: the rows from ``first`` to before ``end`` have both.
    """

    power: np.ndarray
    lips: np.ndarray
    first: int
    end: int

    def excerpt(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """An augmented spectrum [BEFORE + EXCERPT + AFTER, 64], lips [EXCERPT, 2] and their weights [EXCERPT]."""
        spectrum = augment(self.power, random)
        length = min(EXCERPT, self.end - self.first)
        first = int(random.integers(self.first, self.end - length + 1))
        rows = np.arange(first, first + EXCERPT)
        weights = (rows < first + length).astype(np.float32)
        around = np.arange(first - BEFORE, first + EXCERPT + AFTER)
        return spectrum[np.clip(around, 0, len(spectrum) - 1)], self.lips[np.minimum(rows, self.end - 1)], weights


def real_batch(
    clips: Sequence[AlignedLips], size: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spectra [B, BEFORE + EXCERPT + AFTER, 64], lips [B, EXCERPT, 2], weights [B, EXCERPT] of random excerpts."""
    excerpts = [clips[int(random.integers(len(clips)))].excerpt(random) for _ in range(size)]
    spectra, lips, weights = (np.stack(column) for column in zip(*excerpts, strict=True))
    return spectra, lips, weights
