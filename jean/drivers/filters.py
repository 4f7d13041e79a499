"""What can be done to a render's sources before they drive: closing the mouth in silence, calming the head."""

from __future__ import annotations

import numpy as np

from jean.drivers.audio_windows import extract_windows
from jean.drivers.voice import RATE_HZ, voiced
from jean.features.base import AudioFeatures
from jean.geometry import mean_pose

FADE_S = 0.12  # how long the mouth takes to close or open: lips are ready before the first sound
SHORTEST_S = 0.25  # pauses shorter than that belong to speech: closures of p, t, k


def silence_gate(windows: np.ndarray, wave: np.ndarray, extractor: AudioFeatures, fps: float) -> np.ndarray:
    """Audio windows [T, window, D] that are those of silence where nobody speaks, with soft ends.

    Args:
        windows: of ``wave`` (mono, 16 kHz) by ``extractor``, one a frame.
        fps: frames a second.
    """
    gate = speech_gate(voiced(wave, len(windows), fps), fps)[:, None, None]
    nothing = extract_windows(extractor, np.zeros(RATE_HZ, np.float32), 25, 25.0)[12]
    return (gate * windows + (1 - gate) * nothing).astype(np.float32)


def speech_gate(speaking: np.ndarray, fps: float) -> np.ndarray:
    """float64 [T]: 1 where somebody speaks (bool [T]), 0 in pauses of ``SHORTEST_S`` and more, ramps of ``FADE_S``."""
    gate = np.asarray(speaking, float).copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[1], gate, [1]])))
    for first, end in zip(edges[::2], edges[1::2], strict=True):  # runs of silence
        inner = first > 0 and end < len(gate)
        if inner and end - first < SHORTEST_S * fps:
            gate[first:end] = 1
    reach = max(1, round(FADE_S * fps))
    distance = np.full(len(gate), np.inf)
    speech = np.flatnonzero(gate)
    if len(speech):
        distance = np.abs(np.arange(len(gate))[:, None] - speech).min(1)
    return np.clip(1 - distance / (reach + 1), 0, 1)


def calmed(poses: np.ndarray, seconds: float, fps: float) -> np.ndarray:
    """Poses [T, 4, 4] averaged over time with a Gaussian whose spread is ``seconds``."""
    spread = seconds * fps
    reach = int(np.ceil(3 * spread))
    if reach < 1:
        return poses
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / spread) ** 2)
    # a mirror at both ends: nothing is pulled towards the first or last pose
    index = np.abs(np.arange(-reach, len(poses) + reach))
    last = len(poses) - 1
    index = np.minimum(np.where(index > last, np.abs(2 * last - index), index), last)
    return np.stack([mean_pose(poses[index[t : t + 2 * reach + 1]], weights) for t in range(len(poses))])
