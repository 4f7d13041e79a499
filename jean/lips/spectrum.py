"""Mel power spectrum of speech, 100 rows per second: the input of the lip prior. It needs numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from jean.media.rates import RATE_HZ
from jean.row_file import gather_rows

ROWS_HZ = 100
BANDS = 64
LOW_HZ, HIGH_HZ = 60.0, 7600.0
HOP, WINDOW, FFT = RATE_HZ // ROWS_HZ, 400, 512
_BLOCK = 1024  # rows whose spectra are held at once
FLOOR = 1e-3  # relative to loud speech (48 dB below): fainter sound counts as silence
SPREAD = 2.5  # standard deviation of log power over time in speech, so that inputs have a scale of 1


def mel_power(wave: np.ndarray) -> np.ndarray:
    """Mel power of a sound, float32 [N, 64]; row n is centred at n / 100 s, and N = S // 160.

    That of a long sound lies in an unnamed file that is mapped, see ``gather_rows``.

    Args:
        wave: mono, 16 kHz, [S] in [-1, 1].
    """
    count = len(wave) // HOP
    if not count:
        return np.zeros((0, BANDS), np.float32)
    return gather_rows(_mel_rows(wave, start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))


def _mel_rows(wave: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Rows ``start`` to ``stop`` of the mel power; zeros surround the sound."""
    taper = np.hanning(WINDOW).astype(np.float32)
    begin, end = start * HOP - WINDOW // 2, (stop - 1) * HOP + WINDOW // 2
    piece = np.pad(wave[max(begin, 0) : end], (max(-begin, 0), max(end - len(wave), 0)))
    windows = np.lib.stride_tricks.sliding_window_view(piece.astype(np.float32, copy=False), WINDOW)[::HOP]
    return np.square(np.abs(np.fft.rfft(windows * taper, FFT))).astype(np.float32) @ _bank().T


@dataclass(frozen=True)
class Recording:
    """Loudness and mean spectrum of a recording, which ``normalise`` removes.

    Microphone, room and level therefore matter little.

    Attributes:
        gain: factor of the power that makes loud rows 1 on average over the bands.
        mean: log power [64] of the louder rows: pauses do not belong to the speaker's mean spectrum.
    """

    gain: float
    mean: np.ndarray

    @classmethod
    def of(cls, power: np.ndarray) -> Recording:
        """Measures mel power [N, 64] with N > 0, in blocks: a long recording need not be in memory."""
        gain = BANDS / loudness(power)
        starts = range(0, len(power), _BLOCK)
        level = np.concatenate([_log(power[start : start + _BLOCK], gain).mean(1) for start in starts])
        loud = level >= np.quantile(level, 0.4)
        total = np.zeros(BANDS)
        for start in starts:
            part = slice(start, start + _BLOCK)
            total += _log(power[part], gain)[loud[part]].sum(0, dtype=np.float64)
        return cls(gain, (total / loud.sum()).astype(np.float32))

    def normalise(self, power: np.ndarray) -> np.ndarray:
        """Log power of rows of the recording without its loudness and mean spectrum, float32 [N, 64]."""
        values = _log(power, self.gain)
        values -= self.mean
        values /= SPREAD
        return values


def _log(power: np.ndarray, gain: float) -> np.ndarray:
    values = np.asarray(power * gain, np.float32)
    values += FLOOR
    return np.log(values, out=values)


def normalise(power: np.ndarray) -> np.ndarray:
    """Log mel power with the loudness and the mean spectrum of the recording removed, float32 [N, 64].

    Args:
        power: of the whole recording [N, 64], from ``mel_power``.
    """
    return Recording.of(power).normalise(power) if len(power) else np.zeros((0, BANDS), np.float32)


def loudness(power: np.ndarray) -> float:
    """Power of the loud rows (90th percentile), summed over bands."""
    return float(np.quantile(power.sum(1), 0.9)) + 1e-9


def speaking(power: np.ndarray, below_db: float = 25.0, hold_rows: int = 12) -> np.ndarray:
    """Rows that are speech, or closer than ``hold_rows`` to it, bool [N].

    Args:
        power: [N, 64], from ``mel_power``.
        below_db: how much quieter than the loud rows speech may be.
        hold_rows: short pauses between sounds count as speech.
    """
    loud = power.sum(1) > loudness(power) * 10 ** (-below_db / 10)
    reach = np.ones(2 * hold_rows + 1)
    return np.convolve(loud, reach, "full")[hold_rows : hold_rows + len(power)] > 0.5


@cache
def _bank() -> np.ndarray:
    """Triangular filters, equally spaced in mel, float32 [64, FFT // 2 + 1]."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (LOW_HZ, HIGH_HZ))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    hz = np.linspace(0, RATE_HZ / 2, FFT // 2 + 1)
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (hz - left) / (middle - left), (right - hz) / (right - middle)
    return (np.maximum(0, np.minimum(rising, falling)) / 100).astype(np.float32)
