"""Converts decoded video frames to upright RGB images with square pixels."""

from __future__ import annotations

import warnings
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from jean.errors import InputError
from jean.media.container import MAX_PIXELS
from jean.media.decode import Warn
from jean.media.tone_map import ToneMap, needs_tone_map

# AVColorSpace of a frame -> number of the YUV coefficients in swscale; RGB (0) needs none
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
BT601, BT709 = 5, 1
LIMITED, FULL = 1, 2
# Flags of swscale. Without exact rounding, its fast conversion to RGB is one grey level too dark on average
BILINEAR, BICUBIC = 0x2, 0x4
EXACT = 0x40000 | 0x2000 | 0x4000  # accurate rounding, full chroma resolution in output and input
HD_HEIGHT = 720  # untagged video of this height or more is BT.709 by convention, smaller is BT.601


class Turn(NamedTuple):
    """A rotation by a multiple of 90° with optional mirroring: first transpose, then flip.

    Attributes:
        transpose: swap rows and columns.
        flip_x: mirror left and right, after the transposition.
        flip_y: mirror top and bottom, after the transposition.
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The rotated image [H, W, …], contiguous."""
        if self.transpose:
            image = image.swapaxes(0, 1)
        if self.flip_x:
            image = image[:, ::-1]
        if self.flip_y:
            image = image[::-1]
        return np.ascontiguousarray(image)

    @property
    def degrees(self) -> int:
        """Clockwise rotation in degrees: 0, 90, 180 or 270; applied after the mirroring, if any."""
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0


def turn_of(matrix: np.ndarray, warn: Warn = warnings.warn) -> Turn:
    """The rotation and mirroring that a display matrix describes.

    Args:
        matrix: int32 [9], as in MP4: (a, b, u, c, d, v, x, y, w) with x' = ax + cy, y' = bx + dy.
        warn: called if the angle is not a multiple of 90°; the nearest multiple is used.
    """
    a, b, _, c, d = (float(value) / 65536 for value in matrix[:5])
    largest = max(abs(a), abs(b), abs(c), abs(d))
    if largest == 0:
        return Turn()
    transpose = abs(b) + abs(c) > abs(a) + abs(d)
    if 0.02 * largest < (abs(a) + abs(d) if transpose else abs(b) + abs(c)):
        warn("the rotation stored in the video is not a multiple of 90°; the nearest multiple is applied")
    return Turn(True, c < 0, b < 0) if transpose else Turn(False, a < 0, d < 0)


class ToRgb:
    """Converts the frames of one stream to RGB images of one size, the size of the first frame.

    Args:
        frame: the first ``av.VideoFrame``.
        pixel_aspect: width of a pixel divided by its height; None or 0 if unknown.
        name: of the file, for messages.
        warn: called with a message about an unusual rotation.

    Raises:
        InputError: the header states impossible pixels or too large frames.
    """

    def __init__(self, frame: Any, pixel_aspect: Fraction | None, name: str, warn: Warn):
        aspect = float(pixel_aspect or 1)
        if not 0.1 <= aspect <= 10:  # no camera has such pixels: the header is damaged
            raise InputError(f"{name} states pixels {aspect:.3g} times as wide as high.", "Convert it first.")
        self._name = name
        self._coded_aspect = frame.width / frame.height
        self._width = max(1, round(frame.width * aspect))
        self._height = frame.height
        if self._width * self._height > MAX_PIXELS:
            raise InputError(f"{name} states frames of {self._width}×{self._height} pixels.", "Scale it down first.")
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()  # reuses its tables for all frames, which halves the time
        self._tone_map = ToneMap(self._width, self._height)
        matrix = _display_matrix(frame)
        self.turn = Turn() if matrix is None else turn_of(matrix, warn)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the converted images, px."""
        return (self._height, self._width) if self.turn.transpose else (self._width, self._height)

    def __call__(self, frame: Any) -> np.ndarray:
        """Converts one frame to RGB uint8 [H, W, 3].

        Raises:
            InputError: the frame has another aspect ratio than the first.
        """
        if abs(frame.width / frame.height / self._coded_aspect - 1) > 0.02:
            raise InputError(f"{self._name} changes its frame shape.", "Cut it into videos of one shape.")
        if needs_tone_map(frame):
            return self.turn.apply(self._tone_map(frame))
        plane = self._reformat(frame).planes[0]
        # copied directly: to_ndarray takes twenty times as long
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(self._height, plane.line_size)
        return self.turn.apply(rows[:, : self._width * 3].reshape(self._height, self._width, 3).copy())

    def _reformat(self, frame: Any) -> Any:
        """The frame as RGB, by the matrix and range that it states or that its size implies."""
        space = frame.colorspace
        matrix = MATRICES.get(space, BT709 if frame.height >= HD_HEIGHT else BT601)
        full = frame.color_range == FULL or frame.format.name.startswith(("yuvj", "rgb", "bgr", "gbr", "pal"))
        return self._reformatter.reformat(
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


def _display_matrix(frame: Any) -> np.ndarray | None:
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(bytes(data), np.int32, count=9)
