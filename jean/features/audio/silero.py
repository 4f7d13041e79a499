"""Silero's voice activity detector: the probability that somebody speaks, also in noise.

The network reads blocks of 512 samples, each with the last 64 of the block before, and has the state of one LSTM.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import ArtefactError, SetupError
from jean.media.rates import RATE_HZ

WEIGHTS = "silero_vad_16k_sequence.onnx"
BLOCK, CONTEXT = 512, 64  # samples at 16 kHz
BATCH = 512  # blocks per call: memory does not grow with the length
STATE = (1, 1, 128)
# Speech begins above the first probability and ends below the second, as in Silero's own rule
BEGINS, ENDS = 0.5, 0.35


class SileroVoice:
    """Voice activity detector.

    Args:
        path: ``silero_vad_16k_sequence.onnx``.

    Raises:
        SetupError: onnxruntime is missing.
        ArtefactError: the file is not this network.
    """

    def __init__(self, path: Path):
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is imported
        try:
            import onnxruntime
        except ImportError as error:
            raise SetupError(f"onnxruntime cannot be loaded ({error}).", "Run: pip install onnxruntime") from error
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises exceptions of its own
            remedy = f"Run: jean models pull {WEIGHTS}"
            raise ArtefactError(f"{path} cannot be loaded ({type(error).__name__}).", remedy) from error

    def probability(self, wave: np.ndarray) -> np.ndarray:
        """Probability of speech in each block of 32 ms, float32 [⌈S / 512⌉].

        Args:
            wave: mono, 16 kHz, [S] in [-1, 1].
        """
        blocks = -(-len(wave) // BLOCK)
        padded = np.pad(np.asarray(wave, np.float32), (CONTEXT, blocks * BLOCK - len(wave)))
        starts = np.arange(blocks) * BLOCK
        hidden = cell = np.zeros(STATE, np.float32)
        parts = [np.zeros(0, np.float32)]
        for first in range(0, blocks, BATCH):
            rows = padded[starts[first : first + BATCH, None] + np.arange(CONTEXT + BLOCK)]
            inputs = {"input": rows, "h": hidden, "c": cell}
            values, hidden, cell = self._session.run(None, inputs)
            parts.append(values)
        return np.concatenate(parts)

    def speaks(self, wave: np.ndarray, frame_count: int, fps: float) -> np.ndarray:
        """Frames in which somebody speaks, bool [T].

        Args:
            wave: mono, 16 kHz, [S] in [-1, 1].
            frame_count: T.
            fps: frames per second.
        """
        speech = hysteresis(self.probability(wave))
        middles_s = (np.arange(frame_count) + 0.5) / fps
        blocks = (middles_s * RATE_HZ / BLOCK).astype(int)
        return speech[np.minimum(blocks, len(speech) - 1)] if len(speech) else np.zeros(frame_count, bool)


def hysteresis(probability: np.ndarray) -> np.ndarray:
    """Blocks of speech, bool [N]: from one of at least ``BEGINS`` to the last before one below ``ENDS``.

    Example:
        >>> hysteresis(np.array([0.4, 0.6, 0.4, 0.3, 0.4, 0.9])).tolist()
        [False, True, True, False, False, True]
    """
    speech = np.zeros(len(probability), bool)
    inside = False
    for n, value in enumerate(probability):
        inside = bool(value >= (ENDS if inside else BEGINS))
        speech[n] = inside
    return speech
