"""Emotion features of the synthetic speaker: a fixed random network over the true tracks.

No emotion network can be shipped. What one gives mixes expression and speech in every number, not linearly,
with noise; so do these, and their truth is known. Controls [T, 21] → 128 tanh units → 2048 rectified ones,
weights from one seed for everybody, noise of a tenth of a feature's spread. Never to be compared with what a
real network finds in pictures.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NAME = "entangled"
WIDTH = 2048  # as the paper's ResNet50 has
UNITS = 128
NOISE = 0.1
_SEED = 0xE7A


def entangled_features(controls: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """float32 [T, 2048] of true controls [T, C] (``jean.synthetic_speaker.controls.CONTROLS``); ``random`` draws the
    noise."""
    weights = np.random.default_rng(_SEED)
    count = controls.shape[1]
    first = weights.standard_normal((count, UNITS)) * 2.0 / np.sqrt(count / 4)
    shift = weights.uniform(-1, 1, UNITS)
    second = weights.standard_normal((UNITS, WIDTH)) / np.sqrt(UNITS)
    features = np.maximum(np.tanh(controls @ first + shift) @ second, 0)
    # 0.25: about the spread of a feature over a corpus, a constant so that a clip's features depend on it alone
    return (features + NOISE * 0.25 * random.standard_normal(features.shape)).astype(np.float32)


def of_tracks(controls: np.ndarray, random: np.random.Generator) -> dict[str, tuple[dict[str, Any], np.ndarray]]:
    """For ``write_track_corpus``: the features under their name, with their description."""
    described = {"version": "1", "width": WIDTH, "network": True, "synthetic": True}
    return {NAME: (described, entangled_features(controls, random))}
