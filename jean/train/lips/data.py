"""Data of the lip prior's training: speech with labels, and real clips with measured lips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from jean.clips.corpus import CorpusClip
from jean.cluster.calls import map_in_processes
from jean.drivers.lip_style import clip_lips
from jean.errors import InputError
from jean.lips.parameters import OPENING, WIDTH
from jean.lips.prior import LipPrior
from jean.lips.spectrum import HOP, ROWS_HZ
from jean.lips.sync import NATURAL_S, Sync, at_rows, find_sync
from jean.media import read_audio
from jean.progress import Progress
from jean.train.lips.articulation import lip_targets, phoneme_classes
from jean.train.lips.augment import resampled_rows
from jean.train.lips.recordings import Recorder, TrainingRecording
from jean.train.lips.voices import SENTENCES_PER_JOB, check_voices, speak

EXCERPT = 240  # rows of an excerpt: 2.4 s
BEFORE, AFTER = 60, 20  # further rows that the prior sees around a real excerpt
_TARGET_SECONDS = 3.0  # mean length of a synthetic sentence, to choose their number


@dataclass
class LabelledSpeech:
    """Recordings of N rows each, with labels of each row.

    Attributes:
        recordings: what the prior reads.
        lips: lip targets [N, 5] of each.
        phonemes: phoneme class [N], or the probability of each class [N, P], of each.
    """

    recordings: list[TrainingRecording] = field(default_factory=list)
    lips: list[np.ndarray] = field(default_factory=list)
    phonemes: list[np.ndarray] = field(default_factory=list)

    def add(self, recording: TrainingRecording, lips: np.ndarray, phonemes: np.ndarray) -> None:
        """Adds one recording."""
        self.recordings.append(recording)
        self.lips.append(lips)
        self.phonemes.append(phonemes)

    def standardise_lips(self) -> None:
        """Gives each lip target a standard deviation of 1 over all recordings."""
        scale = np.concatenate(self.lips).std(0)
        self.lips = [values / scale for values in self.lips]

    def batch(self, size: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Changed rows [B, L, D], lips [B, L, 5] and phonemes [B, L] or [B, L, P] of random excerpts."""
        excerpts = [self._excerpt(int(random.integers(len(self.recordings))), random) for _ in range(size)]
        rows, lips, phonemes = (np.stack(column) for column in zip(*excerpts, strict=True))
        return rows, lips, phonemes

    def _excerpt(self, number: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = resampled_rows(len(self.lips[number]), random)
        values = self.recordings[number].changed(random, rows)
        first = int(random.integers(max(1, len(rows) - EXCERPT + 1)))
        span = np.minimum(np.arange(first, first + EXCERPT), len(rows) - 1)
        return values[span], self.lips[number][rows][span], self.phonemes[number][rows][span]


def spoken_sentences(
    minutes: int, voices: Sequence[str], seed: int, progress: Progress
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Sentences by each of the synthesizers in turn.

    Args:
        minutes: about as much.
        voices: names of synthesizers, see ``jean.train.lips.voices``.
        seed: decides sentences and voices.
        progress: counts parts.

    Yields:
        Sound [S] at 16 kHz, lip targets [N, 5] and phoneme classes [N] of each, N = S // 160.
    """
    check_voices(tuple(voices))
    count = max(len(voices), round(minutes * 60 / _TARGET_SECONDS / SENTENCES_PER_JOB))
    jobs = [(voices[number % len(voices)], seed * 100_000 + number) for number in range(count)]
    for part in map_in_processes(_spoken, jobs, "speak", progress):
        yield from part


def _spoken(job: tuple[str, int]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    sentences = []
    for wave, segments in speak(job):
        count = len(wave) // HOP
        sentences.append((wave, lip_targets(segments, count), phoneme_classes(segments, count)))
    return sentences


@dataclass(frozen=True)
class RealLips:
    """A clip's sound and measured lips.

    Attributes:
        name: of the clip.
        recording: what the prior reads.
        times_s: times of the frames [T] in the sound, s; corrected where that is late.
        lips: opening and width [T, 2], cm; NaN without a face.
    """

    name: str
    recording: TrainingRecording
    times_s: np.ndarray
    lips: np.ndarray

    @classmethod
    def read(cls, clip: CorpusClip, recorder: Recorder) -> RealLips:
        """Reads a clip.

        Raises:
            InputError: the clip has no sound.
        """
        opened = clip.open()
        times_s = opened.arrays["times_s"] + opened.sound_late_s
        return cls(clip.name, recorder.record(read_audio(opened.sound())), times_s, clip_lips(opened))

    @property
    def move(self) -> bool:
        """Whether the clip shows moving lips for a second or more."""
        rows = at_rows(self.times_s, self.lips)
        return rows is not None and bool((rows.std(0) > 1e-6).all())

    def sync(self, prior: LipPrior) -> Sync:
        """The lag within the natural range at which the lips agree best with a prior.

        Raises:
            InputError: the clip has less than a second of lips.
        """
        track = prior.track_rows(self.recording.as_is(), self.recording.speaking)
        sync = find_sync(track.values[:, [OPENING, WIDTH]], self.times_s, self.lips, around_s=NATURAL_S)
        if sync is None:
            raise InputError(f"the clip {self.name} has less than a second of moving lips.", "Leave it out.")
        return sync

    def aligned(self, prior: LipPrior) -> AlignedLips:
        """The lips at the rows of the recording, moved by the lag that a prior finds."""
        seen = np.isfinite(self.lips).all(1)
        lip_times_s = np.arange(len(self.recording.speaking)) / ROWS_HZ - self.sync(prior).lag_s
        times_s = self.times_s[seen]
        values = np.stack([np.interp(lip_times_s, times_s, column) for column in self.lips[seen].T], 1)
        inside = np.flatnonzero((lip_times_s >= times_s[0]) & (lip_times_s <= times_s[-1]))
        values = values - values[inside].mean(0)
        values /= np.maximum(values[inside].std(0), 1e-6)
        return AlignedLips(self.recording, values.astype(np.float32), int(inside[0]), int(inside[-1]) + 1)


@dataclass(frozen=True)
class AlignedLips:
    """A clip's sound, and its lips at the same rows.

    Attributes:
        recording: what the prior reads, N rows.
        lips: opening and width [N, 2], standardised.
        first, end: the rows from ``first`` to before ``end`` have both.
    """

    recording: TrainingRecording
    lips: np.ndarray
    first: int
    end: int

    def excerpt(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Changed rows [BEFORE + EXCERPT + AFTER, D], lips [EXCERPT, 2] and their weights [EXCERPT]."""
        values = self.recording.changed(random)
        length = min(EXCERPT, self.end - self.first)
        first = int(random.integers(self.first, self.end - length + 1))
        rows = np.arange(first, first + EXCERPT)
        weights = (rows < first + length).astype(np.float32)
        around = np.arange(first - BEFORE, first + EXCERPT + AFTER)
        return values[np.clip(around, 0, len(values) - 1)], self.lips[np.minimum(rows, self.end - 1)], weights


def real_batch(
    clips: Sequence[AlignedLips], size: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows [B, BEFORE + EXCERPT + AFTER, D], lips [B, EXCERPT, 2], weights [B, EXCERPT] of random excerpts."""
    excerpts = [clips[int(random.integers(len(clips)))].excerpt(random) for _ in range(size)]
    rows, lips, weights = (np.stack(column) for column in zip(*excerpts, strict=True))
    return rows, lips, weights
