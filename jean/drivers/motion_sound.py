"""Sound features of the motion model: what a voice says about movement of eyes, brows and head, 25 times per second.

A model that is trained on few or synthetic voices must not depend on how a voice sounds. Therefore the features are
mostly those that any voice shares: the lips that the lip prior predicts, loudness, and the course of the pitch. The
spectrum is coarse, and its mean is removed. The last three values describe the whole recording.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from jean.lips.prior import LipPrior, load_prior
from jean.lips.spectrum import BANDS, ROWS_HZ, loudness, mel_power, normalise, speaking
from jean.media.rates import RATE_HZ

FPS = 25.0  # rate of the motion model
_ROWS = round(ROWS_HZ / FPS)  # spectrum rows per frame
_COARSE = 16  # bands of the coarse spectrum
_LIPS = 5  # parameters of the lip prior
# coarse spectrum; lips at two times per frame; loudness, speaking; voicing, pitch; median pitch, its spread, tilt
WIDTH = _COARSE + 2 * _LIPS + 2 + 2 + 3
LOUDNESS, SPEAKING = _COARSE + 2 * _LIPS, _COARSE + 2 * _LIPS + 1  # columns
VOICING, PITCH = SPEAKING + 1, SPEAKING + 2  # columns; voicing is 0 in unvoiced frames
_PIECE_S, _PITCH_PIECE_S = 60, 10  # of sound that is analysed at once
_CONTEXT = 40  # rows that the lip prior sees around a piece
_LOWEST_HZ, _HIGHEST_HZ = 65.0, 420.0  # of the pitch
_PITCH_WINDOW = 640
_PITCH_HOP = 320
_VOICED = 0.45  # normalised autocorrelation from which a window counts as voiced
_MIDDLE_HZ = 160.0  # pitch in octaves is relative to this
_PITCH_UNIT = 3.0  # of the column, per octave
_STEADY = 0.012  # octaves per frame: a seventh of a semitone, below which a pitch counts as held
# Fractions of voiced frames whose pitch is held: 0.07 to 0.16 on five people, 0.15 to 0.34 on synthetic voices, 0.51 to
# 0.86 on notes of instruments with and without vibrato
_MOST_HELD, _LEAST_VOICED = 0.45, 0.15


def sound_features(wave: np.ndarray) -> np.ndarray:
    """Features [T, ``WIDTH``] of a sound, float32; T = ⌈duration · 25⌉, frame t at (t + 0.5) / 25 s.

    Args:
        wave: mono, 16 kHz, [S] in [-1, 1].

    Example:
        >>> sound_features(np.zeros(16000, np.float32)).shape
        (25, 33)
    """
    count = int(np.ceil(len(wave) / RATE_HZ * FPS - 1e-9))
    if not count:
        return np.zeros((0, WIDTH), np.float32)
    power = _power(wave)
    power = np.pad(power, ((0, max(0, count * _ROWS - len(power))), (0, 0)))[: count * _ROWS]
    spectrum = normalise(power)
    coarse = spectrum.reshape(count, _ROWS, _COARSE, BANDS // _COARSE).mean((1, 3))
    lips = _lips(spectrum).reshape(count, 2, _ROWS // 2, _LIPS).mean(2).reshape(count, -1)
    level = np.log10(power.sum(1).reshape(count, _ROWS).mean(1) / loudness(power) + 1e-6)
    speech = speaking(power).reshape(count, _ROWS).mean(1)
    voicing, pitch = _pitch(wave, count)
    voiced = voicing > _VOICED
    median = float(np.median(pitch[voiced])) if voiced.any() else 0.0
    spread = float(pitch[voiced].std()) if voiced.any() else 0.0
    loud = speech > 0.5 if (speech > 0.5).any() else np.ones(count, bool)
    bands = np.log10(power.reshape(count, _ROWS, BANDS).mean(1)[loud].mean(0) + 1e-12)
    tilt = float(bands[BANDS // 2 :].mean() - bands[: BANDS // 2].mean())
    columns = [
        np.clip(0.5 * level + 1, -2, 2)[:, None],
        speech[:, None],
        np.where(voiced, voicing, 0.0)[:, None],
        np.where(voiced, _PITCH_UNIT * (pitch - median), 0.0)[:, None],
        np.broadcast_to([median, 4 * spread, 0.5 * tilt], (count, 3)),
    ]
    return np.concatenate([coarse, lips, *columns], 1).astype(np.float32)


def sounds_like_a_voice(sound: np.ndarray) -> bool:
    """Whether features [T, F] are those of speech: notes of music hold their pitch, noise has none.

    Example:
        >>> seconds = np.arange(32000) / 16000
        >>> def tone(hz):
        ...     return 0.2 * np.sign(np.sin(2 * np.pi * np.cumsum(hz * np.ones(32000)) / 16000)).astype(np.float32)
        >>> [sounds_like_a_voice(sound_features(tone(hz))) for hz in (140, 140 + 40 * np.sin(5 * seconds))]
        [False, True]
    """
    voiced = sound[:, VOICING] > 0
    both = voiced[1:] & voiced[:-1]
    if voiced.mean() < _LEAST_VOICED or not both.any():
        return False
    return bool((np.abs(np.diff(sound[:, PITCH]))[both] < _PITCH_UNIT * _STEADY).mean() < _MOST_HELD)


def _power(wave: np.ndarray) -> np.ndarray:
    """Mel power [N, 64], computed piece by piece, so that memory does not grow with the windows of a long sound."""
    size, margin = _PIECE_S * RATE_HZ, 4 * RATE_HZ // ROWS_HZ
    pieces = []
    for first in range(0, len(wave), size):
        begin = max(0, first - margin)
        part = mel_power(wave[begin : first + size + margin])
        rows = len(wave[first : first + size]) * ROWS_HZ // RATE_HZ
        pieces.append(part[(first - begin) * ROWS_HZ // RATE_HZ :][:rows])
    return np.concatenate(pieces)


@cache
def _prior() -> LipPrior:
    return load_prior()


@torch.no_grad()
def _lips(spectrum: np.ndarray) -> np.ndarray:
    """Lip parameters [N, 5] of a normalised spectrum [N, 64] by the lip prior of the package."""
    prior, size = _prior(), _PIECE_S * ROWS_HZ
    pieces = []
    for first in range(0, len(spectrum), size):
        begin = max(0, first - _CONTEXT)
        part = torch.from_numpy(np.ascontiguousarray(spectrum[begin : first + size + _CONTEXT]))[None]
        pieces.append(prior(part)[0][0][first - begin :][:size].numpy())
    return np.concatenate(pieces)


def _pitch(wave: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Voicing [T] in [0, 1] and pitch [T], octaves above ``_MIDDLE_HZ``, by the normalised autocorrelation."""
    low, high = int(RATE_HZ / _HIGHEST_HZ), int(RATE_HZ / _LOWEST_HZ)
    total = 2 * count  # windows: two per frame
    padded = np.pad(np.asarray(wave, np.float32), (_PITCH_WINDOW // 2, _PITCH_WINDOW + total * _PITCH_HOP))
    voicing, pitch = np.zeros(total), np.zeros(total)
    piece = int(_PITCH_PIECE_S * FPS) * 2
    for first in range(0, total, piece):
        number = min(piece, total - first)
        starts = (first + np.arange(number)) * _PITCH_HOP + _PITCH_HOP // 2
        windows = padded[starts[:, None] + np.arange(_PITCH_WINDOW)]
        windows = windows - windows.mean(1, keepdims=True)
        spectrum = np.fft.rfft(windows, 2 * _PITCH_WINDOW)
        correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, : high + 1]
        energy = np.cumsum(np.square(windows), 1)
        lags = np.arange(low, high + 1)
        begin = energy[:, _PITCH_WINDOW - 1 - lags]
        end = energy[:, -1:] - energy[:, lags - 1]
        normal = correlation[:, low:] / np.sqrt(begin * end + 1e-6)
        # of nearly equal peaks the shortest lag: its multiples correlate as well
        near = normal >= 0.92 * normal.max(1, keepdims=True)
        best = np.argmax(near, 1)
        best = np.array([_climb(row, start) for row, start in zip(normal, best, strict=True)])
        voicing[first : first + number] = np.clip(normal[np.arange(number), best], 0, 1)
        pitch[first : first + number] = np.log2(RATE_HZ / lags[best] / _MIDDLE_HZ)
    return voicing.reshape(count, 2).mean(1), pitch.reshape(count, 2).mean(1)


def _climb(row: np.ndarray, start: int) -> int:
    """The local maximum of a row [L] that begins to rise at ``start``."""
    while start + 1 < len(row) and row[start + 1] > row[start]:
        start += 1
    return start
