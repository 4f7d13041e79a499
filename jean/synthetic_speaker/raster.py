"""A z-buffer rasteriser in numpy: triangles to spans to fragments, with interpolated attributes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fragments:
    """The visible fragments of a set of triangles, at most one per pixel.

    Attributes:
        pixels: int32 [F], index into the flattened image.
        triangle: int64 [F], number of the visible triangle.
        weights: float32 [F, 2], barycentric weights of the second and third corner.
        depth: float32 [F], z in the unit of the input.
    """

    pixels: np.ndarray
    triangle: np.ndarray
    weights: np.ndarray
    depth: np.ndarray

    def subset(self, index: np.ndarray) -> Fragments:
        """The fragments at ``index``."""
        return Fragments(self.pixels[index], self.triangle[index], self.weights[index], self.depth[index])


def rasterise(
    screen: np.ndarray, triangles: np.ndarray, width: int, height: int, limit: np.ndarray | None = None
) -> Fragments:
    """Finds the nearest front-facing triangle at every pixel centre.

    Args:
        screen: float [N, 3], x and y in px (pixel centres at half-integers) and depth (smaller is nearer).
        triangles: int [M, 3]; those that are clockwise on the screen (y down) are back faces and are culled.
        width, height: image size, px.
        limit: float32 [height * width], depth per pixel; fragments at or behind it are dropped.
    """
    x, y, z = (np.ascontiguousarray(screen[:, k], np.float32) for k in range(3))
    i0, i1, i2 = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    x0, y0 = x[i0], y[i0]
    ex1, ey1, ex2, ey2 = x[i1] - x0, y[i1] - y0, x[i2] - x0, y[i2] - y0
    area = ex1 * ey2 - ey1 * ex2
    top = y0 + np.minimum(np.minimum(ey1, ey2), 0)
    bottom = y0 + np.maximum(np.maximum(ey1, ey2), 0)
    first = np.maximum(np.ceil(top - 0.5), 0).astype(np.int32)
    last = np.minimum(np.ceil(bottom - 0.5), height).astype(np.int32)
    right_end, left_end = x0 + np.maximum(np.maximum(ex1, ex2), 0), x0 + np.minimum(np.minimum(ex1, ex2), 0)
    visible = (area < -1e-6) & (last > first) & (right_end > 0) & (left_end < width)
    keep = np.flatnonzero(visible & (z[i0] > 0) & (z[i1] > 0) & (z[i2] > 0))
    # Far triangles first: _nearest() then rarely has to write a pixel twice.
    keep = keep[np.argsort(-(z[i0[keep]] + z[i1[keep]] + z[i2[keep]]), kind="stable")]
    x0, y0, ex1, ey1, ex2, ey2 = (v[keep] for v in (x0, y0, ex1, ey1, ex2, ey2))
    inverse = 1 / area[keep]
    # Barycentric weights are affine in (x, y): w1 = a1·x + b1·y + c1.
    a1, b1, a2, b2 = ey2 * inverse, -ex2 * inverse, -ey1 * inverse, ex1 * inverse
    c1, c2 = -(a1 * x0 + b1 * y0), -(a2 * x0 + b2 * y0)
    z0 = z[i0[keep]]
    dz1, dz2 = z[i1[keep]] - z0, z[i2[keep]] - z0
    az, bz, cz = a1 * dz1 + a2 * dz2, b1 * dz1 + b2 * dz2, z0 + c1 * dz1 + c2 * dz2

    rows = last[keep] - first[keep]
    owner = np.repeat(np.arange(len(keep), dtype=np.int32), rows)
    before = (np.cumsum(rows) - rows).astype(np.int32)
    row = np.arange(len(owner), dtype=np.int32) + np.repeat(first[keep] - before, rows)
    middle = row.astype(np.float32) + np.float32(0.5)
    left, right = _span(x0, y0, ex1, ey1, ex2, ey2, owner, middle)
    start = np.clip(np.ceil(left - 0.5), 0, width).astype(np.int32)
    length = np.maximum(np.clip(np.ceil(right - 0.5), 0, width).astype(np.int32) - start, 0)
    z_row = bz[owner] * middle + cz[owner]
    z_step = az[owner]
    span = np.repeat(np.arange(len(owner), dtype=np.int32), length)
    base = (start - (np.cumsum(length) - length)).astype(np.int32)
    column = np.arange(len(span), dtype=np.int32) + base[span]
    pixel = (row * width)[span] + column
    depth = z_step[span] * (column.astype(np.float32) + np.float32(0.5)) + z_row[span]
    win = _nearest(pixel, depth, width * height, limit)
    of = owner[span[win]]
    xs, ys = column[win].astype(np.float32) + np.float32(0.5), middle[span[win]]
    w1 = np.clip(a1[of] * xs + b1[of] * ys + c1[of], 0, 1)
    w2 = np.clip(a2[of] * xs + b2[of] * ys + c2[of], 0, 1)
    return Fragments(pixel[win], keep[of], np.stack([w1, w2], -1), depth[win])


def _nearest(pixel: np.ndarray, depth: np.ndarray, count: int, limit: np.ndarray | None) -> np.ndarray:
    """Indices of the nearest fragment of every covered pixel, in pixel order.

    All fragments are written to their pixels. Those nearer than the stored fragment are written again,
    until none is left. This is several times faster than ``np.minimum.at``.
    """
    slot = np.full(count, -1, np.int32)
    pending = np.arange(len(pixel), dtype=np.int32) if limit is None else np.flatnonzero(depth < limit[pixel])
    while len(pending):
        slot[pixel[pending]] = pending
        pending = pending[depth[pending] < depth[slot[pixel[pending]]]]
    return slot[slot >= 0]


def _span(
    x0: np.ndarray,
    y0: np.ndarray,
    ex1: np.ndarray,
    ey1: np.ndarray,
    ex2: np.ndarray,
    ey2: np.ndarray,
    owner: np.ndarray,
    middle: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """x at which the horizontal line y = ``middle`` enters and leaves each span's triangle."""
    left = np.full(len(owner), np.inf, np.float32)
    right = np.full(len(owner), -np.inf, np.float32)
    edges = ((x0, y0, ex1, ey1), (x0, y0, ex2, ey2), (x0 + ex1, y0 + ey1, ex2 - ex1, ey2 - ey1))
    for xa, ya, dx, dy in edges:
        t_scale = 1 / np.where(dy == 0, np.float32(1e-30), dy)
        # Position along the edge, 0 to 1; outside this range the edge does not cross the line.
        t = (middle - ya[owner]) * t_scale[owner]
        cross = xa[owner] + t * dx[owner]
        on = (t >= 0) & (t <= 1)
        np.minimum(left, cross, out=left, where=on)
        np.maximum(right, cross, out=right, where=on)
    return left, right


def interpolate(fragments: Fragments, triangles: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Interpolates vertex values [N, C] at the fragments: float32 [F, C]."""
    a, b, c = (triangles[:, k][fragments.triangle] for k in range(3))
    base = values[a]
    out = values[b]
    out -= base
    out *= fragments.weights[:, :1]
    last = values[c]
    last -= base
    last *= fragments.weights[:, 1:]
    out += last
    out += base
    return out
