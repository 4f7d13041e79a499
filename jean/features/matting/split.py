"""Separates the foreground into head and torso: the head is all above the jaw line, and hair that hangs below it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.features.matting.colour import UNIFORM, colour_density, look_up
from jean.features.matting.edges import ColourGuide
from jean.features.matting.shape import face_hull, head_grid, head_similarity, jaw_distance, jaw_middle

SOFT_PX = 1.0  # width of the soft step at the jaw, at 256 px
# Hanging hair is farther from the middle than this (head coordinates).
THROAT_HALF_WIDTH = 0.95
ROOTS_Y = 0.1  # hanging hair starts above this height, beside the nose (head coordinates)
STRANDS_PX = 4.0  # standard deviation of the surroundings whose colours are averaged, at 256 px
GAP_PX = 4  # half width of gaps between strands that are closed, at 256 px


@dataclass(frozen=True)
class HairModel:
    """Colour densities of the hair around the face, and of the torso (throat, chest and skin)."""

    hair: np.ndarray
    torso: np.ndarray


def fit_hair(frames: np.ndarray, alphas: np.ndarray, landmarks: np.ndarray) -> HairModel:
    """Fits both colour densities to key frames.

    Args:
        frames: uint8 [K, h, w, 3].
        alphas: float32 [K, h, w], foreground opacity.
        landmarks: [K, 68, 2] px.
    """
    size = frames.shape[1]
    hair, torso = [], []
    for rgb, alpha, points in zip(frames, alphas, landmarks, strict=True):
        x, y = head_grid(size, head_similarity(points))
        solid = alpha > 0.9
        # Above the eyes: beside them may be ears and cheeks in shadow.
        hair_area = solid & (y < -0.4) & ((x / 1.3) ** 2 + ((y + 0.1) / 1.75) ** 2 > 1)
        chest = solid & (y > 1.6) & (np.abs(x) < 0.75)
        # The neck has the colour of the face, and so does the crown of a bald head.
        skin = face_hull(points, size) & (np.abs(y) < 0.8)
        hair.append(rgb[hair_area])
        torso.append(rgb[chest | skin])
    densities = [colour_density(colours, np.ones(len(colours))) for colours in map(np.concatenate, (hair, torso))]
    return HairModel(densities[0], densities[1])


def head_fraction(
    rgb: np.ndarray, guide: ColourGuide, alpha: np.ndarray, landmarks: np.ndarray, model: HairModel
) -> np.ndarray:
    """Fraction of the foreground that belongs to the head, float32 [h, w] in [0, 1].

    Args:
        rgb: uint8 [h, w, 3].
        guide: guided filter of the same frame.
        alpha: float32 [h, w], foreground opacity.
        landmarks: [68, 2] px.
        model: colour densities of hair and torso.
    """
    import cv2

    size = rgb.shape[0]
    distance = jaw_distance(landmarks, size)
    step = 1 / (1 + np.exp(-np.clip(distance / (SOFT_PX * size / 256), -30, 30)))
    x, y = head_grid(size, head_similarity(landmarks))
    # Clothes may have any colour: colours that are unlike the hair count as torso.
    odds = np.log(look_up(model.hair, rgb) / (look_up(model.torso, rgb) + 3 * UNIFORM))
    odds = np.clip(odds, -4, 4) - 0.5
    # Hair hangs at the sides, not over the throat, and seldom far below.
    across = np.abs(x - jaw_middle(landmarks))
    odds += np.clip(6 * (across - THROAT_HALF_WIDTH), -6, 1) - 1.5 * np.maximum(y - 1.6, 0)
    # Bright strands have the colour of skin, so the colours around a pixel count more than its own.
    around = cv2.GaussianBlur(odds, (0, 0), STRANDS_PX * size / 256)
    hanging = guide.filter(1 / (1 + np.exp(-(0.3 * odds + 0.7 * around))))
    # Hanging hair is thicker than single strands, and grows beside the eyes: it hangs down from there without a gap.
    # Clothes of its colour are separated from it by cheek, ear and neck.
    solid = (alpha > 0.5) & ~face_hull(landmarks, size, 1.05)
    hair_mask = (
        cv2.morphologyEx(((hanging > 0.5) & solid).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) > 0
    )
    connected = _connected(hair_mask, hair_mask & (y < ROOTS_Y))
    # Gaps within the hair belong to it.
    gap = 2 * max(1, round(GAP_PX * size / 256)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap, gap))
    closed = cv2.morphologyEx(connected.astype(np.uint8), cv2.MORPH_CLOSE, kernel) > 0
    between = closed & ~connected & (across > THROAT_HALF_WIDTH)
    below = np.where(between, 1.0, connected * np.clip(2 * hanging - 0.5, 0, 1))
    return np.maximum(step, below).astype(np.float32)


def _connected(mask: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """The connected parts of a mask that touch ``anchor``, bool [h, w]."""
    import cv2

    count, labels = cv2.connectedComponents((mask | anchor).astype(np.uint8), connectivity=4)
    keep = np.zeros(count, bool)
    keep[np.unique(labels[anchor])] = True
    keep[0] = False
    return mask & keep[labels]
