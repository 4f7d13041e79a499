"""Aligns maps with the edges of an image: guided filter with a colour guide, and edge-aware enlargement."""

from __future__ import annotations

import numpy as np

Planes = tuple[np.ndarray, ...]


def as_float(rgb: np.ndarray) -> np.ndarray:
    """Converts uint8 colours to float32 in [0, 1]."""
    return rgb.astype(np.float32) / 255.0


class ColourGuide:
    """Guided filter (He et al. 2010) with a colour image as guide: smooths a map, but not across edges of the guide.

    It works on separate colour planes, which is several times faster in numpy than interleaved colours.

    Args:
        rgb: the guide, uint8 [H, W, 3].
        radius_px: radius of the box in which the map is modelled as a linear function of the colours.
        smoothness: colour variance (of colours in [0, 1]) below which an area counts as flat.
    """

    def __init__(self, rgb: np.ndarray, radius_px: int, smoothness: float):
        self.planes, self.side = planes(rgb), 2 * radius_px + 1
        r, g, b = self.planes
        self.means = tuple(self._box(plane) for plane in self.planes)
        mr, mg, mb = self.means
        # The six distinct entries of the 3×3 colour covariance of each window, then its inverse by cofactors.
        rr, gg, bb = (self._box(p * p) - m * m + smoothness for p, m in zip(self.planes, self.means, strict=True))
        rg, rb, gb = self._box(r * g) - mr * mg, self._box(r * b) - mr * mb, self._box(g * b) - mg * mb
        first = (gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg)
        determinant = np.maximum(rr * first[0] + rg * first[1] + rb * first[2], 1e-12)
        inverse = (*first, rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg)
        self.inverse = tuple(entry / determinant for entry in inverse)

    def _box(self, values: np.ndarray) -> np.ndarray:
        import cv2

        return cv2.boxFilter(values, -1, (self.side, self.side), borderType=cv2.BORDER_REFLECT)

    def coefficients(self, values: np.ndarray) -> Planes:
        """Coefficients of the linear model of a map [H, W]: three colour factors and an offset, float32 [H, W] each."""
        mean = self._box(values)
        x, y, z = (self._box(p * values) - m * mean for p, m in zip(self.planes, self.means, strict=True))
        a, b, c, d, e, f = self.inverse
        slopes = (a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z)
        offset = mean - sum(slope * m for slope, m in zip(slopes, self.means, strict=True))
        return tuple(self._box(plane) for plane in (*slopes, offset))

    def filter(self, values: np.ndarray) -> np.ndarray:
        """Filters a map, float32 [H, W]."""
        return _apply(self.coefficients(values), self.planes)


def planes(rgb: np.ndarray) -> Planes:
    """Splits uint8 [H, W, 3] into three contiguous colour planes, float32 [H, W] in [0, 1]."""
    return tuple(np.ascontiguousarray(rgb[..., i], np.float32) / 255.0 for i in range(3))


def enlarge(alpha: np.ndarray, small: np.ndarray, full: np.ndarray) -> np.ndarray:
    """Enlarges an opacity map to the size of the frame and aligns its edges with those of the frame.

    Args:
        alpha: float32 [h, w] in [0, 1].
        small: uint8 [h, w, 3], the frame at the map's size.
        full: uint8 [H, W, 3].

    Returns:
        float32 [H, W] in [0, 1].
    """
    import cv2

    if small.shape == full.shape:
        return alpha
    size = (full.shape[1], full.shape[0])

    def up(values: np.ndarray) -> np.ndarray:
        return cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)

    coefficients = ColourGuide(small, 2, 1e-4).coefficients(alpha)
    sharp = _apply(tuple(up(plane) for plane in coefficients), planes(full))
    # The linear model may overshoot: clamp it to the range of the neighbours in the small map.
    kernel = np.ones((3, 3), np.uint8)
    low, high = up(cv2.erode(alpha, kernel)), up(cv2.dilate(alpha, kernel))
    return np.clip(np.clip(sharp, low, high), 0.0, 1.0)


def _apply(coefficients: Planes, colours: Planes) -> np.ndarray:
    r, g, b, offset = coefficients
    return r * colours[0] + g * colours[1] + b * colours[2] + offset
