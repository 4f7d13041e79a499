"""Voice activity: from loudness over time, without a model, or by Silero's detector, which also works in noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jean.features.audio import silero
from jean.media import RATE_HZ
from jean.weights import store

# Speech is at most this much quieter than its loud frames; unvoiced consonants are still above.
BELOW_DB = 30.0
# Frames below this level (dB of full scale) are not speech, however quiet the recording.
QUIET_DB = -60.0
BLOCK = 1 << 18  # samples whose squares are summed at once: all of a long sound would take 16 bytes each


def levels_db(wave: np.ndarray, frame_count: int, fps: float) -> np.ndarray:
    """Loudness of each frame, [T], dB of full scale: the RMS over the frame and half of each neighbour.

    Args:
        wave: mono, 16 kHz, [S] in [-1, 1].
        frame_count: T.
        fps: frames per second.
    """
    middle = (np.arange(frame_count) + 0.5) / fps * RATE_HZ
    first = np.clip(np.round(middle - RATE_HZ / fps), 0, len(wave)).astype(int)
    last = np.clip(np.round(middle + RATE_HZ / fps), 0, len(wave)).astype(int)
    power = _power_before(wave, np.concatenate([first, last]))
    mean = (power[len(first) :] - power[: len(first)]) / np.maximum(last - first, 1)
    return 10 * np.log10(np.maximum(mean, 1e-12))


def _power_before(wave: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Sums of squares, float64 [N], of the samples of ``wave`` [S] before each of ``ends`` [N]."""
    sums, total = np.zeros(len(ends)), 0.0
    for start in range(0, len(wave), BLOCK):
        running = total + np.cumsum(np.square(wave[start : start + BLOCK], dtype=np.float64))
        inside = (ends > start) & (ends <= start + BLOCK)
        sums[inside] = running[ends[inside] - start - 1]
        total = float(running[-1])
    return sums


def voiced(wave: np.ndarray, frame_count: int, fps: float, below_db: float = BELOW_DB) -> np.ndarray:
    """Frames in which somebody speaks, bool [T].

    Args:
        wave: mono, 16 kHz, [S] in [-1, 1].
        frame_count: T.
        fps: frames per second.
        below_db: how much quieter than the loud frames (the 95th percentile) a frame with speech may be.
    """
    level = levels_db(wave, frame_count, fps)
    if not len(level):
        return np.zeros(0, bool)
    return level > max(float(np.percentile(level, 95)) - below_db, QUIET_DB)


@dataclass(frozen=True)
class VoiceDetector:
    """What decides whether somebody speaks.

    Attributes:
        name: "silero" or "loudness".
        speaks: returns bool [T] from (wave mono 16 kHz [S], number of frames T, frames per second).
    """

    name: str
    speaks: Callable[[np.ndarray, int, float], np.ndarray]


def detector_name() -> str:
    """Name of the detector that ``voice_detector`` returns, without loading it."""
    return "loudness" if store.locate(silero.WEIGHTS) is None else "silero"


def voice_detector() -> VoiceDetector:
    """Silero's detector where its weights are installed, otherwise the rule of loudness.

    Training and metrics always use the rule, so that their results do not depend on installed weights.

    Raises:
        SetupError: onnxruntime is missing.
        ArtefactError: the weights are damaged.
    """
    if detector_name() == "loudness":
        return VoiceDetector("loudness", voiced)
    return VoiceDetector("silero", silero.SileroVoice(store.find(silero.WEIGHTS)).speaks)
