"""The one steady square that is cut from every frame of a clip."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

# Around the box of the 68 landmarks (brows to chin), as shares of its larger side: the hair needs most,
# the neck and the start of the shoulders as much, the sides the ears and the hair
MARGIN_TOP, MARGIN_BOTTOM, MARGIN_SIDE = 0.75, 0.65, 0.55
# How much of the landmarks' box itself must stay inside where the picture has no room for the margins
NEEDED_MARGIN = 0.1
# Frames in which the head may leave the full margins: a moment's nod must not shrink the face of a whole clip
OUTLIERS = 0.01
SMALL_FACE = 0.2  # of the crop's side: less and the head wanders too far for one steady square


@dataclass(frozen=True)
class Crop:
    """A square of whole pixels in the upright video; it may reach beyond the picture.

    Attributes:
        left_px: of the video.
        top_px: of the video.
        side_px: of the video.
    """

    left_px: int
    top_px: int
    side_px: int

    def to_json(self) -> dict[str, int]:
        """As it stands in ``clip.json``."""
        return asdict(self)

    def points(self, points: np.ndarray, size_px: int) -> np.ndarray:
        """Positions [..., 2] of the video in px of the crop at ``size_px``."""
        return (points - np.array([self.left_px, self.top_px], points.dtype)) * (size_px / self.side_px)

    def image(self, image: np.ndarray, size_px: int) -> np.ndarray:
        """The crop of a frame uint8 [H, W, 3], resized to ``size_px``; edges are repeated beyond the picture."""
        import cv2

        height, width = image.shape[:2]
        left, top = max(self.left_px, 0), max(self.top_px, 0)
        right, bottom = min(self.left_px + self.side_px, width), min(self.top_px + self.side_px, height)
        piece = image[top:bottom, left:right]
        if piece.shape[:2] != (self.side_px, self.side_px):
            piece = cv2.copyMakeBorder(
                piece,
                top - self.top_px,
                self.top_px + self.side_px - bottom,
                left - self.left_px,
                self.left_px + self.side_px - right,
                cv2.BORDER_REPLICATE,
            )
        if self.side_px == size_px:
            return np.ascontiguousarray(piece)
        # averaging keeps a reduced picture free of aliasing; enlarging wants a smooth kernel
        method = cv2.INTER_AREA if self.side_px > size_px else cv2.INTER_CUBIC
        return cv2.resize(piece, (size_px, size_px), interpolation=method)


def choose_crop(boxes: np.ndarray, width_px: int, height_px: int) -> Crop:
    """The square that holds the head with hair and the start of the shoulders in nearly all frames.

    It lies inside the picture where it can; it is padded only where the face itself would not fit.

    Args:
        boxes: [N, 4] landmark boxes (left, top, right, bottom) of the frames with a face, px; N > 0.
        width_px: of the picture.
        height_px: of the picture.
    """
    side = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    margins = np.stack([-MARGIN_SIDE * side, -MARGIN_TOP * side, MARGIN_SIDE * side, MARGIN_BOTTOM * side], axis=-1)
    wanted = _span(boxes + margins, OUTLIERS)
    around = NEEDED_MARGIN * side[:, None] * np.array([-1.0, -1.0, 1.0, 1.0])
    needed = _span(boxes + around, 0.0)
    length = max(wanted[2] - wanted[0], wanted[3] - wanted[1])
    # no padding for hair that is not in the picture; padding rather than a cut face
    length = max(min(length, width_px, height_px), min(_longer(needed), max(width_px, height_px)), 1.0)
    whole = int(np.ceil(length - 1e-6))
    return Crop(
        _place(wanted[0], wanted[2], needed[0], needed[2], whole, width_px),
        _place(wanted[1], wanted[3], needed[1], needed[3], whole, height_px),
        whole,
    )


def _span(boxes: np.ndarray, outliers: float) -> np.ndarray:
    """The box around all boxes but a share of outliers at each side."""
    low = np.quantile(boxes[:, :2], outliers, axis=0)
    high = np.quantile(boxes[:, 2:], 1.0 - outliers, axis=0)
    return np.concatenate([low, high])


def _longer(box: np.ndarray) -> float:
    return float(max(box[2] - box[0], box[3] - box[1]))


def _place(low: float, high: float, need_low: float, need_high: float, length: int, limit: int) -> int:
    """Where a stretch of ``length`` begins: around [low, high], holding the needed part, inside the picture."""
    start = (low + high - length) / 2
    start = min(max(start, need_high - length), max(need_low, need_high - length))
    room = limit - length  # negative: padded alike at both ends
    return round(min(max(start, 0.0), float(room)) if room >= 0 else room / 2)


def centre_crop(width_px: int, height_px: int) -> Crop:
    """The middle square of a picture, as high (or wide) as it is (section 8.1.1)."""
    side = min(width_px, height_px)
    return Crop((width_px - side) // 2, (height_px - side) // 2, side)
