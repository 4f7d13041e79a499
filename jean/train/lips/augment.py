"""Random changes of a recording: voice, microphone, room, noise and speaking rate of its mel power, or of its wave."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from jean.lips.spectrum import BANDS, ROWS_HZ, loudness, normalise


def augment(power: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A normalised spectrum [N, 64] of a recording as another voice, microphone and room would give it.

    Args:
        power: mel power [N, 64].
        random: decides.
    """
    power = power * (BANDS / loudness(power))
    power = _warp(power, random.uniform(0.82, 1.22)) * _response(random)
    if random.random() < 0.3:  # a narrow channel, such as a telephone
        power = power.copy()
        power[:, random.integers(40, 62) :] *= 1e-3
    if random.random() < 0.5:
        power = _reverberate(power, random.uniform(0.1, 0.6), random.uniform(0.02, 0.3))
    if random.random() < 0.8:
        power = power + _noise(len(power), random.uniform(3, 45), random)
    return normalise(power)


def augment_wave(wave: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A wave float32 [S] of a recording as another microphone would give it: level, filter and noise.

    The voice stays: changing it would need another sound of the same lips.

    Args:
        wave: mono, [S].
        random: decides.
    """
    colour = random.uniform(-0.6, 0.6)  # of a filter of first order: duller or brighter
    filtered = lfilter([1.0], [1.0, -colour], wave) if colour > 0 else lfilter([1.0, colour], [1.0], wave)
    hiss = lfilter([1.0], [1.0, -random.uniform(0.0, 0.95)], random.standard_normal(len(wave)))
    level = np.sqrt(np.square(filtered).mean() / np.square(hiss).mean()) * 10 ** (-random.uniform(5, 40) / 20)
    mixed = filtered + level * hiss
    loudest = max(float(np.abs(mixed).max()), 1e-9)
    return np.asarray(mixed * (random.uniform(0.1, 0.9) / loudest), np.float32)


def resampled_rows(count: int, random: np.random.Generator) -> np.ndarray:
    """Indices of the rows of a recording of ``count`` rows, spoken up to a quarter faster or slower."""
    rate = random.uniform(0.8, 1.25)
    return np.minimum((np.arange(int(count * rate)) / rate).astype(int), count - 1)


def _warp(power: np.ndarray, factor: float) -> np.ndarray:
    """Moves the formants: another length of the vocal tract."""
    position = np.clip(np.arange(BANDS) * factor, 0, BANDS - 1)
    low = position.astype(int)
    high, fraction = np.minimum(low + 1, BANDS - 1), (position - low).astype(np.float32)
    return power[:, low] * (1 - fraction) + power[:, high] * fraction


def _response(random: np.random.Generator) -> np.ndarray:
    """Frequency response of a microphone, [64]."""
    ripple, tilt = np.cumsum(random.standard_normal(BANDS)) * 0.12, random.uniform(-1, 1)
    return np.exp(ripple + tilt * np.linspace(-1, 1, BANDS)).astype(np.float32)


def _reverberate(power: np.ndarray, decay_s: float, level: float) -> np.ndarray:
    """Adds the exponential decay of a room; ``decay_s`` is the time in which it falls by 60 dB."""
    fall = np.exp(-13.8 / (decay_s * ROWS_HZ))
    tail = lfilter([1.0], [1.0, -fall], power, axis=0)
    return (power + level * (tail - power) * (1 - fall) * 3).astype(np.float32)


def _noise(count: int, snr_db: float, random: np.random.Generator) -> np.ndarray:
    """Coloured noise [N, 64], steady or swelling."""
    colour = np.exp(random.uniform(-2, 1) * np.linspace(0, 1, BANDS) + np.cumsum(random.standard_normal(BANDS)) * 0.15)
    swell: np.ndarray | float = 1.0
    if random.random() < 0.4:
        steps = random.standard_normal(count + 40)
        swell = np.exp(np.convolve(steps, np.ones(41) / 41, "valid") * 4)[:, None]
    grain = random.exponential(1.0, (count, BANDS))
    return (10 ** (-snr_db / 10) * colour / colour.mean() * swell * grain).astype(np.float32)
