"""Which part of the foreground is head: all above the jaw line, and the hair that hangs below it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.features.matting.colour import UNIFORM, colour_density, look_up
from jean.features.matting.edges import ColourGuide
from jean.features.matting.shape import grid, head_similarity, jaw_distance

SOFT_PX = 1.0  # width of the step at the jaw, px at 256
# Hair hangs farther out than this (head coordinates).
THROAT_HALF_WIDTH = 0.95


@dataclass(frozen=True)
class HairModel:
    """Colours of the hair around the face, and of throat and chest (densities)."""

    hair: np.ndarray
    torso: np.ndarray


def learn_hair(frames: np.ndarray, alphas: np.ndarray, marks: np.ndarray) -> HairModel:
    """Learns both from key frames.

    Args:
        frames: uint8 [K, h, w, 3].
        alphas: float32 [K, h, w], foreground opacity.
        marks: [K, 68, 2] px.
    """
    size = frames.shape[1]
    hair, torso = [], []
    for rgb, alpha, points in zip(frames, alphas, marks, strict=True):
        x, y = grid(size, head_similarity(points))
        solid = alpha > 0.9
        crown = solid & (y < 0.4) & ((x / 1.3) ** 2 + ((y + 0.1) / 1.75) ** 2 > 1)
        chest = solid & (y > 1.6) & (np.abs(x) < 0.75)
        # The neck has the face's skin, and so has the crown of a bald head.
        skin = (np.abs(x) < 0.8) & (np.abs(y) < 0.8)
        hair.append(rgb[crown])
        torso.append(rgb[chest | skin])
    densities = [colour_density(colours, np.ones(len(colours))) for colours in map(np.concatenate, (hair, torso))]
    return HairModel(densities[0], densities[1])


def head_share(
    rgb: np.ndarray, guide: ColourGuide, alpha: np.ndarray, marks: np.ndarray, model: HairModel
) -> np.ndarray:
    """Share of the head in the foreground, float32 [h, w] in [0, 1].

    Args:
        rgb: uint8 [h, w, 3].
        guide: of the same frame.
        alpha: float32 [h, w], foreground opacity.
        marks: [68, 2] px.
        model: the clip's colours of hair and torso.
    """
    import cv2

    size = rgb.shape[0]
    distance = jaw_distance(marks, size)
    step = 1 / (1 + np.exp(-np.clip(distance / (SOFT_PX * size / 256), -30, 30)))
    x, y = grid(size, head_similarity(marks))
    # Clothes may have any colour: what is not known as hair is torso.
    odds = np.log(look_up(model.hair, rgb) / (look_up(model.torso, rgb) + 3 * UNIFORM))
    odds = np.clip(odds, -4, 4) - 0.5
    # Hair hangs at the sides, not over the throat, and seldom far below.
    odds += np.clip(6 * (np.abs(x) - THROAT_HALF_WIDTH), -6, 1) - 1.5 * np.maximum(y - 1.6, 0)
    hanging = guide.filter(1 / (1 + np.exp(-odds)))
    # It hangs from hair above the jaw, in more than threads.
    hairy = cv2.morphologyEx((hanging > 0.5).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) > 0
    joined = _joined(hairy, hairy & (distance > 0) & (alpha > 0.5))
    return np.maximum(step, joined * np.clip(2 * hanging - 0.5, 0, 1)).astype(np.float32)


def _joined(mask: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """bool: the parts of ``mask`` that touch ``anchor``."""
    import cv2

    count, labels = cv2.connectedComponents((mask | anchor).astype(np.uint8), connectivity=4)
    keep = np.zeros(count, bool)
    keep[np.unique(labels[anchor])] = True
    keep[0] = False
    return mask & keep[labels]
