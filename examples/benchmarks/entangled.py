"""Synthetic emotion features for ``disentangle.py``: a fixed random network of the true tracks.

An emotion network cannot be shipped. Its outputs mix expression and speech nonlinearly and with noise. These
features do the same, and their truth is known: controls [T, 21] → 128 tanh units → 2048 rectified units. The weights
come from one seed for all people. The noise has a tenth of a feature's standard deviation. The values are not
comparable with those of a real network.
"""

from __future__ import annotations

import numpy as np

from jean.clips.meta import EmotionSpec

NAME = "entangled"
WIDTH = 2048  # as the paper's ResNet50
UNITS = 128  # of the hidden layer
NOISE = 0.1  # standard deviation of the noise over that of a feature
_SEED = 0xE7A


def entangled_features(controls: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Features of true controls.

    Args:
        controls: [T, C], columns as ``jean.synthetic_speaker.controls.CONTROLS``.
        random: source of the noise.

    Returns:
        float32 [T, 2048].
    """
    weights = np.random.default_rng(_SEED)
    count = controls.shape[1]
    first = weights.standard_normal((count, UNITS)) * 2.0 / np.sqrt(count / 4)
    shift = weights.uniform(-1, 1, UNITS)
    second = weights.standard_normal((UNITS, WIDTH)) / np.sqrt(UNITS)
    features = np.maximum(np.tanh(controls @ first + shift) @ second, 0)
    # 0.25 is about a feature's standard deviation over a corpus. As a constant it makes clips independent.
    return (features + NOISE * 0.25 * random.standard_normal(features.shape)).astype(np.float32)


def track_features(controls: np.ndarray, random: np.random.Generator) -> dict[str, tuple[EmotionSpec, np.ndarray]]:
    """Features and their specification by name, for ``write_track_corpus``."""
    spec = EmotionSpec(version="1", width=WIDTH, network=True, synthetic=True)
    return {NAME: (spec, entangled_features(controls, random))}
