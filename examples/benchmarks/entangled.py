"""Synthetic emotion features for ``disentangle.py``: a fixed random network of the true tracks.

An emotion network cannot be shipped. Its outputs mix expression and speech nonlinearly and with noise. These
features do the same, and their truth is known: controls [T, 21] → 128 tanh units → 2048 rectified units. The weights
come from one seed for all people. The noise has a tenth of a feature's standard deviation. The values are not
comparable with those of a real network.
"""

from __future__ import annotations

import numpy as np

from jean.clips.meta import EmotionSpec
from jean.synthetic_speaker.controls import SPEECH_CONTROLS

NAME = "entangled"
WIDTH = 2048  # as the paper's ResNet50
UNITS = 128  # of the hidden layer
NOISE = 0.1  # standard deviation of the noise over that of a feature
WEAK_SPEECH = 0.35  # of its strength, in the hard corpus: real emotion networks hardly see what is said
SPEC = EmotionSpec(version="1", width=WIDTH, network=True, synthetic=True)
_SEED = 0xE7A


def entangled_features(
    controls: np.ndarray, random: np.random.Generator, speech: float = 1.0, noise: float = NOISE
) -> np.ndarray:
    """Features of true controls.

    Args:
        controls: [T, C], columns as ``jean.synthetic_speaker.controls.CONTROLS``.
        random: source of the noise.
        speech: factor on the speech controls: how strongly the features show them.
        noise: standard deviation of the noise over that of a feature.

    Returns:
        float32 [T, 2048].
    """
    weights = np.random.default_rng(_SEED)
    count = controls.shape[1]
    controls = np.concatenate([controls[:, : -len(SPEECH_CONTROLS)], speech * controls[:, -len(SPEECH_CONTROLS) :]], 1)
    first = weights.standard_normal((count, UNITS)) * 2.0 / np.sqrt(count / 4)
    shift = weights.uniform(-1, 1, UNITS)
    second = weights.standard_normal((UNITS, WIDTH)) / np.sqrt(UNITS)
    features = np.maximum(np.tanh(controls @ first + shift) @ second, 0)
    # 0.25 is about a feature's standard deviation over a corpus. As a constant it makes clips independent.
    return (features + noise * 0.25 * random.standard_normal(features.shape)).astype(np.float32)


def track_features(controls: np.ndarray, random: np.random.Generator) -> dict[str, tuple[EmotionSpec, np.ndarray]]:
    """Features and their specification by name, for ``write_track_corpus``."""
    return {NAME: (SPEC, entangled_features(controls, random))}


def hard_features(controls: np.ndarray, random: np.random.Generator) -> dict[str, tuple[EmotionSpec, np.ndarray]]:
    """``track_features`` that show speech at a third of its strength, with three times the noise."""
    return {NAME: (SPEC, entangled_features(controls, random, WEAK_SPEECH, 3 * NOISE))}
