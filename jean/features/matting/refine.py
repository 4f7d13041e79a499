"""Converts foreground masks to soft mattes: removes holes and islands, estimates opacity along the edge."""

from __future__ import annotations

import numpy as np

from jean.features.matting.edges import ColourGuide, as_float

BAND_PX = 3  # half width of the band with opacities between 0 and 1, at 256 px
MIX_PX = 4.0  # standard deviation of the window in which pure colours on both sides are averaged, at 256 px
# Difference of the two colours (in [0, 1]) above which the colour mixture is trusted; well above noise and texture.
CONTRAST = 0.15
MAX_HOLE_FRACTION, MIN_ISLAND_FRACTION = 0.006, 0.02  # fractions of the frame area


def remove_specks(mask: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Removes small islands from a mask and closes small holes.

    Args:
        mask: bool [h, w].
        inside: bool [h, w], certain foreground; parts of the mask that are connected to it are kept.

    Returns:
        bool [h, w].
    """
    import cv2

    area = mask.size
    solid = (mask | inside).astype(np.uint8)
    solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) | inside.astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
    keep = stats[:, cv2.CC_STAT_AREA] > MIN_ISLAND_FRACTION * area
    keep[np.unique(labels[inside])] = True
    keep[0] = False
    solid = keep[labels].astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(1 - solid, connectivity=4)
    hole = stats[:, cv2.CC_STAT_AREA] < MAX_HOLE_FRACTION * area
    hole[0] = False
    return (solid > 0) | hole[labels]


def connected_to(inside: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The connected parts of ``mask`` with ``inside``, bool [h, w] both, that touch ``inside``."""
    import cv2

    solid = (mask | inside).astype(np.uint8)
    solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) | inside.astype(np.uint8)
    count, labels = cv2.connectedComponents(solid, connectivity=4)
    keep = np.zeros(count, bool)
    keep[np.unique(labels[inside])] = True
    keep[0] = False
    return keep[labels]


def close_pockets(mask: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Closes gaps of a mask that touch neither the top nor the sides of the frame.

    The shadow between hair and neck looks like such a gap, and colour models must not learn it as background. A gap
    stays open if the background is observed in most of it.

    Args:
        mask: bool [h, w].
        observed: bool [h, w], where the background is observed.

    Returns:
        bool [h, w].
    """
    import cv2

    count, labels = cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)
    total = np.bincount(labels.ravel(), minlength=count)
    outside = np.bincount(labels[observed], minlength=count) > 0.5 * total
    beside = 3 * len(labels) // 4
    for edge in (labels[0], labels[:beside, 0], labels[:beside, -1]):
        outside[edge] = True
    outside[0] = False
    return ~outside[labels]


def soft_alpha(rgb: np.ndarray, guide: ColourGuide, mask: np.ndarray) -> np.ndarray:
    """Estimates opacity along the edge of a mask.

    Where the colours on both sides of the edge differ, opacity is the fraction of the inner colour in the pixel.
    Elsewhere it is the mask, aligned with the edges of the frame.

    Args:
        rgb: uint8 [h, w, 3].
        guide: guided filter of the same frame.
        mask: bool [h, w].

    Returns:
        float32 [h, w] in [0, 1].
    """
    import cv2

    unit = rgb.shape[0] / 256
    band = max(1, round(BAND_PX * unit))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band + 1, 2 * band + 1))
    solid = mask.astype(np.uint8)
    core = cv2.erode(solid, kernel, borderType=cv2.BORDER_REPLICATE)
    outer = 1 - cv2.dilate(solid, kernel, borderType=cv2.BORDER_REPLICATE)
    edge = (core == 0) & (outer == 0)
    alpha = core.astype(np.float32)
    aligned = np.clip(guide.filter(mask.astype(np.float32)), 0, 1)[edge]
    colours = as_float(rgb)
    front, front_weight = _nearby(colours, core, MIX_PX * unit, edge)
    behind, behind_weight = _nearby(colours, outer, MIX_PX * unit, edge)
    axis = front - behind
    contrast = np.einsum("nc,nc->n", axis, axis)
    fraction = np.clip(np.einsum("nc,nc->n", colours[edge] - behind, axis) / np.maximum(contrast, 1e-6), 0, 1)
    confidence = 0.7 * contrast / (contrast + CONTRAST**2) * ((front_weight > 1e-4) & (behind_weight > 1e-4))
    alpha[edge] = confidence * fraction + (1 - confidence) * aligned
    return alpha


def _nearby(colours: np.ndarray, source: np.ndarray, std_px: float, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian-weighted mean colour of the pixels in ``source`` around each pixel in ``at``.

    Args:
        colours: float32 [h, w, 3].
        source: [h, w], 1 for pixels to average, otherwise 0.
        std_px: standard deviation of the weights.
        at: bool [h, w] with n true pixels.

    Returns:
        Colours [n, 3] and total weights [n].
    """
    import cv2

    weighted = np.concatenate([colours * source[..., None], source[..., None]], -1).astype(np.float32)
    blurred = cv2.GaussianBlur(weighted, (0, 0), std_px)[at]
    weight = blurred[:, 3]
    return blurred[:, :3] / np.maximum(weight, 1e-6)[:, None], weight
