"""From a map of probabilities to a soft matte: holes, islands, and the mixture of colours along the edge."""

from __future__ import annotations

import numpy as np

from jean.features.matting.edges import ColourGuide, as_float

BAND_PX = 3  # half width of the band in which opacity is anything but 0 or 1, at 256 px
MIX_PX = 4.0  # how far around a pixel the pure colours on both sides are looked for, at 256 px
# Difference of colours (in [0, 1]) from which on the mixture is believed; well above noise and texture.
CONTRAST = 0.15
HOLE_SHARE, ISLAND_SHARE = 0.006, 0.02  # of the frame's area


def clean(mask: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """bool [h, w]: the parts of ``mask`` joined to ``inside`` and other large ones, small holes closed."""
    import cv2

    area = mask.size
    solid = (mask | inside).astype(np.uint8)
    solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) | inside.astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
    keep = stats[:, cv2.CC_STAT_AREA] > ISLAND_SHARE * area
    keep[np.unique(labels[inside])] = True
    keep[0] = False
    solid = keep[labels].astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(1 - solid, connectivity=4)
    hole = stats[:, cv2.CC_STAT_AREA] < HOLE_SHARE * area
    hole[0] = False
    return (solid > 0) | hole[labels]


def close_pockets(mask: np.ndarray, known: np.ndarray) -> np.ndarray:
    """bool [h, w]: ``mask`` with every gap closed that reaches neither the frame's top nor its sides, unless
    most of it lies where the background is ``known``.

    The dark between hair and neck looks like a gap, and models must not learn it as background.
    """
    import cv2

    count, labels = cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)
    total = np.bincount(labels.ravel(), minlength=count)
    outside = np.bincount(labels[known], minlength=count) > 0.5 * total
    beside = 3 * len(labels) // 4
    for edge in (labels[0], labels[:beside, 0], labels[:beside, -1]):
        outside[edge] = True
    outside[0] = False
    return ~outside[labels]


def soft_alpha(rgb: np.ndarray, guide: ColourGuide, mask: np.ndarray) -> np.ndarray:
    """Opacity float32 [h, w] in [0, 1] along the edge of ``mask``.

    Where colours on both sides differ, a pixel's share of the inner colour decides; where they do not, the
    mask's own edge, drawn to the frame's.

    Args:
        rgb: uint8 [h, w, 3].
        guide: of the same frame.
        mask: bool [h, w].
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
    drawn = np.clip(guide.filter(mask.astype(np.float32)), 0, 1)[edge]
    colours = as_float(rgb)
    front, front_weight = _nearby(colours, core, MIX_PX * unit, edge)
    behind, behind_weight = _nearby(colours, outer, MIX_PX * unit, edge)
    axis = front - behind
    contrast = np.einsum("nc,nc->n", axis, axis)
    share = np.clip(np.einsum("nc,nc->n", colours[edge] - behind, axis) / np.maximum(contrast, 1e-6), 0, 1)
    belief = 0.7 * contrast / (contrast + CONTRAST**2) * ((front_weight > 1e-4) & (behind_weight > 1e-4))
    alpha[edge] = belief * share + (1 - belief) * drawn
    return alpha


def _nearby(colours: np.ndarray, where: np.ndarray, sigma: float, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean colour [n, 3] of the pixels ``where`` near each of the n ``wanted`` ones, and their weight [n]."""
    import cv2

    known = np.concatenate([colours * where[..., None], where[..., None]], -1).astype(np.float32)
    blurred = cv2.GaussianBlur(known, (0, 0), sigma)[wanted]
    weight = blurred[:, 3]
    return blurred[:, :3] / np.maximum(weight, 1e-6)[:, None], weight
