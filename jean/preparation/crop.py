"""The one fixed square that is cut from every frame of a clip."""

from __future__ import annotations

import numpy as np

from jean.clips.meta import Crop
from jean.media.image import cut_square

# Margins around the box of the 68 landmarks (brows to chin), as fractions of its larger side: most for the hair, as
# much for the neck and the start of the shoulders, less at the sides for ears and hair.
MARGIN_TOP, MARGIN_BOTTOM, MARGIN_SIDE = 0.75, 0.65, 0.55
# Margin that must stay inside the crop even if the frame has no room for the margins above.
NEEDED_MARGIN = 0.1
# Fraction of frames in which the head may exceed the full margins, so that one nod does not shrink the face throughout.
OUTLIERS = 0.01
SMALL_FACE = 0.2  # fraction of the crop's side; a smaller face means that the head moves too far for one fixed square


def crop_image(image: np.ndarray, crop: Crop, size_px: int) -> np.ndarray:
    """Cuts a frame and resizes it; beyond the frame, edge pixels are repeated.

    Args:
        image: uint8 [H, W, 3].
        crop: in pixels of the frame.
        size_px: side of the result.

    Returns:
        uint8 [size_px, size_px, 3].
    """
    return cut_square(image, crop.left_px, crop.top_px, crop.side_px, size_px)


def choose_crop(boxes: np.ndarray, width_px: int, height_px: int) -> Crop:
    """Chooses the square that contains the head with hair and the start of the shoulders in nearly all frames.

    The square lies inside the frame if possible. It exceeds the frame only if the face itself would not fit.

    Args:
        boxes: [N, 4] landmark boxes (left, top, right, bottom) of the frames with a face, px; N > 0.
        width_px: of the frame.
        height_px: of the frame.
    """
    side = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    margins = np.stack([-MARGIN_SIDE * side, -MARGIN_TOP * side, MARGIN_SIDE * side, MARGIN_BOTTOM * side], axis=-1)
    preferred = _enclosing_box(boxes + margins, OUTLIERS)
    around = NEEDED_MARGIN * side[:, None] * np.array([-1.0, -1.0, 1.0, 1.0])
    needed = _enclosing_box(boxes + around, 0.0)
    length = max(preferred[2] - preferred[0], preferred[3] - preferred[1])
    # No padding for hair outside the frame, but padding rather than a cut face.
    length = max(min(length, width_px, height_px), min(_longer_side(needed), max(width_px, height_px)), 1.0)
    whole = int(np.ceil(length - 1e-6))
    return Crop(
        left_px=_start(preferred[0], preferred[2], needed[0], needed[2], whole, width_px),
        top_px=_start(preferred[1], preferred[3], needed[1], needed[3], whole, height_px),
        side_px=whole,
    )


def centre_crop(width_px: int, height_px: int) -> Crop:
    """The largest square in the middle of a frame (section 8.1.1)."""
    side = min(width_px, height_px)
    return Crop(left_px=(width_px - side) // 2, top_px=(height_px - side) // 2, side_px=side)


def _enclosing_box(boxes: np.ndarray, outliers: float) -> np.ndarray:
    """The box around all boxes except a fraction of outliers at each side."""
    low = np.quantile(boxes[:, :2], outliers, axis=0)
    high = np.quantile(boxes[:, 2:], 1.0 - outliers, axis=0)
    return np.concatenate([low, high])


def _longer_side(box: np.ndarray) -> float:
    return float(max(box[2] - box[0], box[3] - box[1]))


def _start(low: float, high: float, need_low: float, need_high: float, length: int, limit: int) -> int:
    """Start of an interval of ``length`` around [low, high] that contains the needed part and lies within the limit."""
    start = (low + high - length) / 2
    start = min(max(start, need_high - length), max(need_low, need_high - length))
    room = limit - length  # negative: padded equally at both ends
    return round(min(max(start, 0.0), float(room)) if room >= 0 else room / 2)
