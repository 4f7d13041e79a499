"""One decoded picture to upright RGB with square pixels."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from jean.errors import InputError
from jean.media.container import MAX_PIXELS

# AVColorSpace of a frame -> the coefficients' number in swscale; RGB (0) needs none
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
BT601, BT709 = 5, 1
LIMITED, FULL = 1, 2
# swscale's flags. Without exact rounding its quick path to RGB is one grey level too dark on average
BILINEAR, BICUBIC = 0x2, 0x4
EXACT = 0x40000 | 0x2000 | 0x4000  # accurate rounding, full chroma on the way out and in
HD_HEIGHT = 720  # untagged video of this height or more is BT.709 by convention, smaller is BT.601


class Turn(NamedTuple):
    """A turn by quarters and mirrorings: transpose first, then flip.

    Attributes:
        transpose: swap rows and columns.
        flip_x: then mirror left and right.
        flip_y: then mirror up and down.
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The turned image, contiguous."""
        if self.transpose:
            image = image.swapaxes(0, 1)
        if self.flip_x:
            image = image[:, ::-1]
        if self.flip_y:
            image = image[::-1]
        return np.ascontiguousarray(image)

    @property
    def degrees(self) -> int:
        """Clockwise turn that the file asks for: 0, 90, 180 or 270 (of a mirrored one: after the mirror)."""
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0


def turn_of(matrix: np.ndarray, warn: Callable[[str], None] = warnings.warn) -> Turn:
    """The turn that a display matrix asks for.

    Args:
        matrix: int32 [9], as in MP4: (a, b, u, c, d, v, x, y, w) with x' = ax + cy, y' = bx + dy.
        warn: told when it is no turn by quarters; the nearest is taken.
    """
    a, b, _, c, d = (float(value) / 65536 for value in matrix[:5])
    largest = max(abs(a), abs(b), abs(c), abs(d))
    if largest == 0:
        return Turn()
    transpose = abs(b) + abs(c) > abs(a) + abs(d)
    if 0.02 * largest < (abs(a) + abs(d) if transpose else abs(b) + abs(c)):
        warn("the video asks to be turned by an odd angle; it is turned by the nearest quarter")
    return Turn(True, c < 0, b < 0) if transpose else Turn(False, a < 0, d < 0)


class ToRgb:
    """Converts the frames of one stream, all to the size of the first.

    Args:
        frame: the first ``av.VideoFrame``.
        pixel_aspect: width of a pixel through its height, None or 0 where unknown.
        name: of the file, for messages.
        warn: told about what is odd.
    """

    def __init__(self, frame: Any, pixel_aspect: Fraction | None, name: str, warn: Callable[[str], None]):
        aspect = float(pixel_aspect or 1)
        if not 0.1 <= aspect <= 10:  # no camera has such pixels: the header is damaged
            raise InputError(f"{name} claims pixels {aspect:.3g} times as wide as high.", "Convert it first.")
        self._name = name
        self._coded_aspect = frame.width / frame.height
        self._width = max(1, round(frame.width * aspect))
        self._height = frame.height
        if self._width * self._height > MAX_PIXELS:
            raise InputError(f"{name} claims pictures of {self._width}×{self._height} pixels.", "Scale it down first.")
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()  # keeps its tables from frame to frame: half the time
        matrix = _display_matrix(frame)
        self.turn = Turn() if matrix is None else turn_of(matrix, warn)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the images, px."""
        return (self._height, self._width) if self.turn.transpose else (self._width, self._height)

    def __call__(self, frame: Any) -> np.ndarray:
        """RGB uint8 [H, W, 3].

        Raises:
            InputError: the frame has another shape than the first.
        """
        if abs(frame.width / frame.height / self._coded_aspect - 1) > 0.02:
            raise InputError(f"{self._name} changes the shape of its picture.", "Cut it into videos of one shape.")
        space = frame.colorspace
        matrix = MATRICES.get(space, BT709 if frame.height >= HD_HEIGHT else BT601)
        full = frame.color_range == FULL or frame.format.name.startswith(("yuvj", "rgb", "bgr", "gbr", "pal"))
        rgb = self._reformatter.reformat(
            frame,
            width=self._width,
            height=self._height,
            format="rgb24",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=FULL if full else LIMITED,
            dst_color_range=FULL,
            interpolation=EXACT | (BICUBIC if self._width != frame.width else BILINEAR),
        )
        plane = rgb.planes[0]  # copied here, as to_ndarray takes twenty times as long
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(self._height, plane.line_size)
        return self.turn.apply(rows[:, : self._width * 3].reshape(self._height, self._width, 3).copy())


def _display_matrix(frame: Any) -> np.ndarray | None:
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(bytes(data), np.int32, count=9)
