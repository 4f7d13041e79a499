"""Colour models of a clip: colour densities of foreground and background, and the background plate.

Densities are probabilities per unit of RGB volume with colours in 0 to 255, so that different models are comparable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 32
BIN_WIDTH = 256 // BINS
# Density of a uniform distribution over all colours: the model of unknown objects.
UNIFORM = 1.0 / 256.0**3
# The background at a pixel is observed if it is visible in at least this fraction of the frames.
MIN_VISIBLE_FRACTION = 0.08
# Width of the margin around a matte that does not count as background, as a fraction of the frame width.
MARGIN_FRACTION = 0.02


def colour_density(colours: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Smoothed colour histogram as a density, mixed with 5 % uniform density so that no colour is impossible.

    Args:
        colours: uint8 [N, 3].
        weights: [N].

    Returns:
        float32 [BINS, BINS, BINS].
    """
    from scipy.ndimage import gaussian_filter

    index = (colours // BIN_WIDTH).astype(np.int64)
    flat = (index[:, 0] * BINS + index[:, 1]) * BINS + index[:, 2]
    counts = np.bincount(flat, weights, BINS**3).reshape(BINS, BINS, BINS)
    smooth = gaussian_filter(counts, 1.0, mode="nearest")
    total = smooth.sum()
    density = smooth / total / BIN_WIDTH**3 if total > 0 else np.zeros_like(smooth)
    return (0.95 * density + 0.05 * UNIFORM).astype(np.float32)


def look_up(density: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """The density [...] of each colour of ``rgb`` uint8 [..., 3]."""
    index = rgb // BIN_WIDTH
    return density[index[..., 0], index[..., 1], index[..., 2]]


@dataclass(frozen=True)
class Plate:
    """The background plate: colour and uncertainty of the background at each pixel.

    Attributes:
        colour: float32 [h, w, 3], 0 to 255; extrapolated smoothly where the background is never visible.
        std: float32 [h, w], standard deviation of a colour channel, 0 to 255.
        observed: bool [h, w], whether the background is visible often enough.
    """

    colour: np.ndarray
    std: np.ndarray
    observed: np.ndarray

    def density(self, rgb: np.ndarray, outside: np.ndarray) -> np.ndarray:
        """Density of the colour of each pixel under the assumption that it is background.

        Args:
            rgb: uint8 [h, w, 3].
            outside: colour density of the background in the whole frame; used where the plate is not observed.

        Returns:
            [h, w].
        """
        squared = ((rgb.astype(np.float32) - self.colour) ** 2).sum(-1) / self.std**2
        local = np.exp(-0.5 * squared) / ((2 * np.pi) ** 1.5 * self.std**3)
        # Unknown objects may also pass in front of an observed background: hence 5 % uniform density. Background
        # colours from elsewhere must not count there, or grey hair before a golden wall would be background
        # because of a grey object somewhere else.
        extrapolated = 0.7 * local + 0.15 * look_up(outside, rgb) + 0.15 * UNIFORM
        return np.where(self.observed, 0.95 * local + 0.05 * UNIFORM, extrapolated)


def estimate_plate(frames: np.ndarray, alphas: np.ndarray) -> Plate:
    """Estimates the background plate from frames of one clip and their mattes.

    Args:
        frames: uint8 [K, h, w, 3].
        alphas: float32 [K, h, w], foreground opacity.
    """
    import cv2

    count, _, width = alphas.shape
    margin = max(3, round(MARGIN_FRACTION * width)) | 1
    visible = np.stack([cv2.dilate(alpha, np.ones((margin, margin), np.uint8)) for alpha in alphas]) < 0.2
    # Background that is visible in a few frames only may as well be a hole in the mattes.
    min_count = max(1, round(MIN_VISIBLE_FRACTION * count))
    colour, deviation = masked_median(frames, visible)
    # 1.48 converts a median absolute deviation to a standard deviation; 4.0 is the least noise.
    std = np.sqrt((1.48 * deviation) ** 2 + 4.0**2)
    observed = visible.sum(0) >= min_count
    filled, distance = extrapolate(colour, observed.astype(np.float32))
    # The uncertainty of an extrapolated colour grows with the distance to the observed background.
    std = np.where(observed, std, np.minimum(12.0 + 120.0 * distance / width, 40.0))
    filled = np.where(observed[..., None], colour, filled)
    return Plate(filled.astype(np.float32), std.astype(np.float32), observed)


def masked_median(frames: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median over the frames in which each pixel is visible.

    Args:
        frames: uint8 [K, h, w, 3].
        visible: bool [K, h, w].

    Returns:
        Median colour float32 [h, w, 3], and median absolute deviation float32 [h, w] of the channel where it is
        largest; both 0 where a pixel is never visible.
    """
    order = np.where(visible[..., None], frames.astype(np.int16), 999)
    counts = visible.sum(0)
    middle = np.maximum((counts - 1) // 2, 0)[None, ..., None]
    median = np.take_along_axis(np.sort(order, axis=0), np.broadcast_to(middle, (1, *frames.shape[1:])), 0)[0]
    distances = np.where(visible[..., None], np.abs(order - median), 999)
    deviation = np.take_along_axis(np.sort(distances, axis=0), np.broadcast_to(middle, (1, *frames.shape[1:])), 0)[0]
    never = counts == 0
    colour = np.where(never[..., None], 0, median).astype(np.float32)
    return colour, np.where(never, 0, deviation.max(-1)).astype(np.float32)


def extrapolate(colour: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Extrapolates colours smoothly into pixels without a colour (push-pull through an image pyramid).

    Args:
        colour: float32 [h, w, 3].
        observed: float32 [h, w], 1 where ``colour`` is valid, otherwise 0.

    Returns:
        Colours float32 [h, w, 3], and the distance (px) of each pixel to the nearest valid one, float32 [h, w].
        If no pixel is valid, the colours are zero and the distances are the image width.
    """
    import cv2

    width = observed.shape[1]
    if not observed.any():
        return np.zeros_like(colour), np.full(observed.shape, float(width), np.float32)
    values, weights = [colour * observed[..., None]], [observed]
    while min(values[-1].shape[:2]) > 1:
        size = (max(1, (values[-1].shape[1] + 1) // 2), max(1, (values[-1].shape[0] + 1) // 2))
        smooth = cv2.GaussianBlur(np.concatenate([values[-1], weights[-1][..., None]], -1), (5, 5), 1.0)
        small = cv2.resize(smooth, size, interpolation=cv2.INTER_AREA)
        values.append(small[..., :3])
        weights.append(small[..., 3])
    filled = values[-1] / np.maximum(weights[-1], 1e-8)[..., None]
    for value, weight in zip(values[-2::-1], weights[-2::-1], strict=True):
        up = cv2.resize(filled, (weight.shape[1], weight.shape[0]), interpolation=cv2.INTER_LINEAR)
        filled = up.reshape(*weight.shape, 3)
        confidence = np.minimum(weight, 1.0)[..., None]
        filled = value / np.maximum(weight, 1e-8)[..., None] * confidence + filled * (1 - confidence)
    distance = cv2.distanceTransform((observed <= 0).astype(np.uint8), cv2.DIST_L2, 5)
    return filled.astype(np.float32), distance
