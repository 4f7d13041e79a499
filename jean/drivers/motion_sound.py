"""Sound features of the motion model: what a voice says about movement of eyes, brows and head, 25 times per second.

A model that is trained on few or synthetic voices must not depend on how a voice sounds. Therefore the features are
mostly those that any voice shares: the lips that the lip prior predicts, loudness, and the course of the pitch. The
spectrum is coarse, and its mean is removed. The last three values describe the whole recording.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from jean.lips.prior import AHEAD, BACK, LipPrior, load_prior
from jean.lips.spectrum import BANDS, ROWS_HZ, Recording, loudness, mel_power, speaking
from jean.media.rates import RATE_HZ
from jean.row_file import gather_rows

FPS = 25.0  # rate of the motion model
_ROWS = round(ROWS_HZ / FPS)  # spectrum rows per frame
_COARSE = 16  # bands of the coarse spectrum
_LIPS = 5  # parameters of the lip prior
# coarse spectrum; lips at two times per frame; loudness, speaking; voicing, pitch; median pitch, its spread, tilt
WIDTH = _COARSE + 2 * _LIPS + 2 + 2 + 3
LOUDNESS, SPEAKING = _COARSE + 2 * _LIPS, _COARSE + 2 * _LIPS + 1  # columns
VOICING, PITCH = SPEAKING + 1, SPEAKING + 2  # columns; voicing is 0 in unvoiced frames
_PIECE_S, _PITCH_PIECE_S = 20, 10  # of sound that is analysed at once
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

    Besides the sound and the result, memory takes a piece of ``_PIECE_S`` and some numbers per frame.

    Args:
        wave: mono, 16 kHz, [S] in [-1, 1].

    Example:
        >>> sound_features(np.zeros(16000, np.float32)).shape
        (25, 33)
    """
    count = int(np.ceil(len(wave) / RATE_HZ * FPS - 1e-9))
    features = np.empty((count, WIDTH), np.float32)
    if not count:
        return features
    power = mel_power(wave)
    if len(power) < count * _ROWS:  # the last frame reaches beyond the sound
        silence = np.zeros((count * _ROWS - len(power), BANDS), np.float32)
        power = gather_rows([*np.array_split(power, len(power) // 4096 + 1), silence])
    recording, totals = Recording.of(power), power.sum(1)
    speech = speaking(power).reshape(count, _ROWS).mean(1)
    loud = speech > 0.5 if (speech > 0.5).any() else np.ones(count, bool)
    bands, piece = np.zeros(BANDS), round(_PIECE_S * FPS)
    for first in range(0, count, piece):
        frames = slice(first, min(first + piece, count))
        begin, number = max(0, first * _ROWS - BACK), frames.stop - first
        part = power[begin : frames.stop * _ROWS + AHEAD]
        rows, spectrum = slice(first * _ROWS - begin, frames.stop * _ROWS - begin), recording.normalise(part)
        coarse = spectrum[rows].reshape(number, _ROWS, _COARSE, BANDS // _COARSE)
        features[frames, :_COARSE] = coarse.mean((1, 3))
        lips = _lips(spectrum)[rows].reshape(number, 2, _ROWS // 2, _LIPS)
        features[frames, _COARSE:LOUDNESS] = lips.mean(2).reshape(number, -1)
        bands += part[rows].reshape(number, _ROWS, BANDS).mean(1)[loud[frames]].sum(0, np.float64)
    level = np.log10(totals.reshape(count, _ROWS).mean(1) / loudness(power) + 1e-6)
    features[:, LOUDNESS] = np.clip(0.5 * level + 1, -2, 2)
    features[:, SPEAKING] = speech
    voicing, pitch = _pitch(wave, count)
    voiced = voicing > _VOICED
    median = float(np.median(pitch[voiced])) if voiced.any() else 0.0
    spread = float(pitch[voiced].std()) if voiced.any() else 0.0
    features[:, VOICING] = np.where(voiced, voicing, 0.0)
    features[:, PITCH] = np.where(voiced, _PITCH_UNIT * (pitch - median), 0.0)
    bands = np.log10(bands / loud.sum() + 1e-12)
    tilt = float(bands[BANDS // 2 :].mean() - bands[: BANDS // 2].mean())
    features[:, PITCH + 1 :] = median, 4 * spread, 0.5 * tilt
    return features


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


@cache
def _prior() -> LipPrior:
    return load_prior()


@torch.no_grad()
def _lips(spectrum: np.ndarray) -> np.ndarray:
    """Lip parameters [N, 5] of a normalised spectrum [N, 64] by the lip prior of the package."""
    return np.asarray(_prior()(torch.from_numpy(spectrum)[None])[0][0].numpy())


def _pitch(wave: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Voicing [T] in [0, 1] and pitch [T], octaves above ``_MIDDLE_HZ``, by the normalised autocorrelation."""
    low, high = int(RATE_HZ / _HIGHEST_HZ), int(RATE_HZ / _LOWEST_HZ)
    total = 2 * count  # windows: two per frame
    voicing, pitch = np.zeros(total, np.float32), np.zeros(total, np.float32)
    piece = int(_PITCH_PIECE_S * FPS) * 2
    for first in range(0, total, piece):
        number = min(piece, total - first)
        start = first * _PITCH_HOP + (_PITCH_HOP - _PITCH_WINDOW) // 2  # zeros surround the sound
        stop = start + (number - 1) * _PITCH_HOP + _PITCH_WINDOW
        part = np.asarray(wave[max(start, 0) : max(stop, 0)], np.float32)
        part = np.pad(part, (max(-start, 0), stop - max(start, 0) - len(part)))
        windows = np.lib.stride_tricks.sliding_window_view(part, _PITCH_WINDOW)[::_PITCH_HOP]
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
