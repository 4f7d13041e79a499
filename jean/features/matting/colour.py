"""Colour models of one clip: how likely a colour is in the foreground, and what lies behind it where.

Densities are per unit of RGB volume with colours in 0 to 255, so that models can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 32
BIN_WIDTH = 256 // BINS
# A uniform colour's density: what an unknown thing could look like.
UNIFORM = 1.0 / 256.0**3
# A pixel counts as seen background when it was uncovered in at least this share of the frames.
SEEN_SHARE = 0.08
# Width of the surroundings of a matte that do not count as background, as a share of the frame's.
NEAR_SHARE = 0.02


def colour_density(colours: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Smoothed histogram float32 [BINS, BINS, BINS] of colours uint8 [N, 3] with weights [N].

    A twentieth of it is uniform, so that no colour is impossible.
    """
    from scipy.ndimage import gaussian_filter

    index = (colours // BIN_WIDTH).astype(np.int64)
    flat = (index[:, 0] * BINS + index[:, 1]) * BINS + index[:, 2]
    counts = np.bincount(flat, weights, BINS**3).reshape(BINS, BINS, BINS)
    smooth = gaussian_filter(counts, 1.0, mode="nearest")
    total = smooth.sum()
    share = smooth / total / BIN_WIDTH**3 if total > 0 else np.zeros_like(smooth)
    return (0.95 * share + 0.05 * UNIFORM).astype(np.float32)


def look_up(density: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """The density at each pixel of ``rgb`` uint8 [..., 3]."""
    index = rgb // BIN_WIDTH
    return density[index[..., 0], index[..., 1], index[..., 2]]


@dataclass(frozen=True)
class Plate:
    """What lies behind the person, as far as it was seen.

    Attributes:
        colour: float32 [h, w, 3], 0 to 255; carried over smoothly where never seen.
        spread: float32 [h, w], standard deviation of a colour channel, 0 to 255.
        known: bool [h, w], seen often enough to be believed.
    """

    colour: np.ndarray
    spread: np.ndarray
    known: np.ndarray

    def density(self, rgb: np.ndarray, outside: np.ndarray) -> np.ndarray:
        """Density of each pixel's colour, if it is background.

        Args:
            rgb: uint8 [h, w, 3].
            outside: density of the background's colours all over the frame; counts where nothing was seen.
        """
        squared = ((rgb.astype(np.float32) - self.colour) ** 2).sum(-1) / self.spread**2
        here = np.exp(-0.5 * squared) / ((2 * np.pi) ** 1.5 * self.spread**3)
        # A known background may still be passed by something unknown. It must not lend its colours from the
        # rest of the frame: grey hair before a gold frame stays hair though there is a grey picture in it.
        guess = 0.7 * here + 0.15 * look_up(outside, rgb) + 0.15 * UNIFORM
        return np.where(self.known, 0.95 * here + 0.05 * UNIFORM, guess)


def estimate_plate(frames: np.ndarray, alphas: np.ndarray) -> Plate:
    """The plate from frames of one clip.

    Args:
        frames: uint8 [K, h, w, 3].
        alphas: float32 [K, h, w], foreground opacity.
    """
    import cv2

    count, _, width = alphas.shape
    near = max(3, round(NEAR_SHARE * width)) | 1
    seen = np.stack([cv2.dilate(alpha, np.ones((near, near), np.uint8)) for alpha in alphas]) < 0.2
    times = seen.sum(0)
    # Seen in a few frames only: as likely a hole in the mattes as the background.
    enough = max(1, round(SEEN_SHARE * count))
    colour, deviation = masked_median(frames, seen)
    # Noise of the median's neighbourhood; 1.48 makes a median deviation a standard deviation.
    spread = np.sqrt((1.48 * deviation) ** 2 + 4.0**2)
    known = times >= enough
    filled, distance = spread_out(colour, known.astype(np.float32))
    # Away from what was seen the background is only a guess: worse by the pixel.
    spread = np.where(known, spread, np.minimum(12.0 + 120.0 * distance / width, 40.0))
    filled = np.where(known[..., None], colour, filled)
    return Plate(filled.astype(np.float32), spread.astype(np.float32), known)


def masked_median(frames: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median colour float32 [h, w, 3] over the frames in which a pixel is seen, and the median absolute
    deviation float32 [h, w] (largest channel); 0 where never seen.

    Args:
        frames: uint8 [K, h, w, 3].
        seen: bool [K, h, w].
    """
    order = np.where(seen[..., None], frames.astype(np.int16), 999)
    times = seen.sum(0)
    middle = np.maximum((times - 1) // 2, 0)[None, ..., None]
    median = np.take_along_axis(np.sort(order, axis=0), np.broadcast_to(middle, (1, *frames.shape[1:])), 0)[0]
    away = np.where(seen[..., None], np.abs(order - median), 999)
    deviation = np.take_along_axis(np.sort(away, axis=0), np.broadcast_to(middle, (1, *frames.shape[1:])), 0)[0]
    never = times == 0
    colour = np.where(never[..., None], 0, median).astype(np.float32)
    return colour, np.where(never, 0, deviation.max(-1)).astype(np.float32)


def spread_out(colour: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Carries known colours smoothly into unknown pixels (pull and push through a pyramid).

    Args:
        colour: float32 [h, w, 3].
        known: float32 [h, w], 1 where the colour counts.

    Returns:
        filled colours float32 [h, w, 3], and each pixel's distance from the known, px, float32 [h, w].
        Without any known pixel the colours are zero and the distance is the width.
    """
    import cv2

    width = known.shape[1]
    if not known.any():
        return np.zeros_like(colour), np.full(known.shape, float(width), np.float32)
    values, weights = [colour * known[..., None]], [known]
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
        share = np.minimum(weight, 1.0)[..., None]
        filled = value / np.maximum(weight, 1e-8)[..., None] * share + filled * (1 - share)
    distance = cv2.distanceTransform((known <= 0).astype(np.uint8), cv2.DIST_L2, 5)
    return filled.astype(np.float32), distance
