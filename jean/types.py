"""Words that everything shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion, in pixels of one image.

    Pixel centres lie at half-integers: the top left pixel covers [0, 1] × [0, 1].

    Attributes:
        focal_px: focal length, the same along both axes.
        center_px: principal point (x, y).
        width_px: image width.
        height_px: image height.
    """

    focal_px: float
    center_px: tuple[float, float]
    width_px: int
    height_px: int

    def matrix(self) -> np.ndarray:
        """The 3×3 intrinsic matrix K."""
        cx, cy = self.center_px
        return np.array([[self.focal_px, 0, cx], [0, self.focal_px, cy], [0, 0, 1]], np.float64)

    def cropped(self, left_px: float, top_px: float, side_px: float, size_px: int) -> Camera:
        """The camera of a square crop (in this image's pixels) resized to ``size_px``."""
        scale = size_px / side_px
        cx, cy = self.center_px
        return Camera(self.focal_px * scale, ((cx - left_px) * scale, (cy - top_px) * scale), size_px, size_px)

    def resized(self, size_px: int) -> Camera:
        """The camera of this (square) image resized to ``size_px``."""
        return self.cropped(0.0, 0.0, float(self.width_px), size_px)
