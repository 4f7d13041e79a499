"""What a lip prior reads of a recording while it trains: the rows of its input, as they are and changed at random."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from jean.lips.inputs import FeatureInput, PriorInput, at_rows_hz
from jean.lips.spectrum import mel_power, normalise, speaking
from jean.train.lips.augment import augment, augment_wave

_LEAST_STD = 1e-3  # of a value, relative to the mean of all: what hardly changes tells nothing


class TrainingRecording(Protocol):
    """A recording of N rows, 100 per second.

    Attributes:
        speaking: where somebody speaks, bool [N].
    """

    speaking: np.ndarray

    def as_is(self) -> np.ndarray:
        """Rows [N, D] of the recording."""
        ...

    def changed(self, random: np.random.Generator, rows: np.ndarray | None = None) -> np.ndarray:
        """Rows [L, D] of the recording as another microphone and room would give them.

        Args:
            random: decides.
            rows: indices [L] of the rows; None for all.
        """
        ...


class SpectrumRecording:
    """A recording for a prior that reads the spectrum: every call changes voice, microphone, room and noise anew."""

    def __init__(self, wave: np.ndarray):
        self.power = mel_power(wave)
        self.speaking = speaking(self.power)

    def as_is(self) -> np.ndarray:
        """See ``TrainingRecording``."""
        return normalise(self.power)

    def changed(self, random: np.random.Generator, rows: np.ndarray | None = None) -> np.ndarray:
        """See ``TrainingRecording``."""
        return augment(self.power if rows is None else self.power[rows], random)


class FeatureRecording:
    """A recording for a prior that reads audio features.

    Features cannot be changed like a spectrum, and extracting them takes long. So level, filter and noise of the wave
    are changed beforehand, and every call takes one of these versions or the recording as it is.
    """

    def __init__(self, wave: np.ndarray, source: FeatureInput, copies: int, random: np.random.Generator):
        self.speaking = speaking(mel_power(wave))
        self._rate_hz = source.extractor.rate_hz
        waves = [np.asarray(wave, np.float32), *(augment_wave(wave, random) for _ in range(copies))]
        # in half precision, and at their own rate: a quarter of the memory
        self.versions = [source.extractor.extract(version).astype(np.float16) for version in waves]

    def as_is(self) -> np.ndarray:
        """See ``TrainingRecording``."""
        return at_rows_hz(self.versions[0], self._rate_hz, len(self.speaking))

    def changed(self, random: np.random.Generator, rows: np.ndarray | None = None) -> np.ndarray:
        """See ``TrainingRecording``."""
        version = self.versions[int(random.integers(len(self.versions)))]
        values = at_rows_hz(version, self._rate_hz, len(self.speaking))
        return values if rows is None else values[rows]


class Recorder:
    """Makes the recordings of one training, for what its prior reads.

    Args:
        source: the prior's input.
        copies: changed versions of each recording, if it reads audio features.
        seed: decides the changes.
    """

    def __init__(self, source: PriorInput, copies: int, seed: int):
        self.source, self.copies, self.random = source, copies, np.random.default_rng([0xFEA, seed])

    def record(self, wave: np.ndarray) -> TrainingRecording:
        """The recording of a wave [S], mono, 16 kHz."""
        if isinstance(self.source, FeatureInput):
            return FeatureRecording(wave, self.source, self.copies, self.random)
        return SpectrumRecording(wave)


def statistics(recordings: Iterable[TrainingRecording], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation [D] of the rows of recordings as they are; ``width`` is D."""
    sums, squares, count = np.zeros(width), np.zeros(width), 0
    for recording in recordings:
        rows = recording.as_is().astype(np.float64)
        sums += rows.sum(0)
        squares += np.square(rows).sum(0)
        count += len(rows)
    mean = sums / max(count, 1)
    std = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
    return mean, np.maximum(std, max(_LEAST_STD * float(std.mean()), 1e-9))
