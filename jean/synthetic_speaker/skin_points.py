"""Named places of the skin: the iBUG-68 points and the margins of lips and lids."""

from __future__ import annotations

import numpy as np

from jean.synthetic_speaker.shape import INNER_LIP_ROWS, Shape, Skin, lip_heights


def landmark_vertices(skin: Skin) -> np.ndarray:
    """Vertex numbers of the iBUG-68 points on the mean skin, int [68]; they hold for every person."""
    p = skin.points
    jaw = [(-7.74, -2.36, 2.0), (-7.64, -0.4, 2.4), (-7.46, 1.6, 2.4), (-7.1, 3.5, 2.1), (-6.4, 5.4, 1.3)]
    jaw += [(-5.26, 7.0, -0.45), (-3.72, 8.2, -2.3), (-1.95, 9.1, -3.8), (0.0, 9.4, -4.25)]
    jaw += [(-a, b, c) for a, b, c in jaw[-2::-1]]
    nose = [(0.0, -2.9, -5.5), (0.0, -1.7, -6.3), (0.0, -0.5, -7.1), (0.0, 0.7, -7.6)]
    nose += [(-1.3, 1.75, -5.2), (-0.65, 2.0, -5.8), (0, 2.1, -6.0), (0.65, 2.0, -5.8), (1.3, 1.75, -5.2)]
    points = [int(np.argmin(((p - q) ** 2).sum(1))) for q in np.array(jaw + nose, float)]
    points = points[:17] + list(brow_vertices(skin, Shape())) + points[17:]
    upper, lower = lid_rows(skin)

    def column(row: np.ndarray, x: float) -> int:
        return int(row[np.argmin(np.abs(p[row, 0] - x) + 99 * (p[row, 2] > 0))])

    for side in (-1, 1):
        xs = [-4.445, -3.65, -2.65, -1.86] if side < 0 else [1.86, 2.65, 3.65, 4.445]
        low = [-2.65, -3.65] if side < 0 else [3.65, 2.65]
        points += [column(upper, x) for x in xs] + [column(lower, x) for x in low]
    top, bottom = lip_rows(skin)
    outer_x = [-1.8, -0.75, 0.0, 0.75, 1.8]
    points.append(column(top, -2.46))
    points += [_lip_border(skin, x, -1) for x in outer_x]
    points.append(column(top, 2.46))
    points += [_lip_border(skin, x, 1) for x in outer_x[::-1]]
    points += [column(top, x) for x in (-2.15, -1.05, 0, 1.05, 2.15)] + [column(bottom, x) for x in (1.05, 0, -1.05)]
    return np.array(points)


def brow_vertices(skin: Skin, shape: Shape) -> np.ndarray:
    """Vertex numbers of the ten brow points: along the upper half of the painted brows."""
    half = [(-5.65, -4.5, -2.9), (-4.9, -5.0, -3.7), (-3.85, -5.35, -4.4), (-2.65, -5.25, -5.0), (-1.4, -4.9, -5.3)]
    points = np.array(half + [(-a, b, c) for a, b, c in half[::-1]]) - [0, shape.brow_height, 0]
    return np.array([int(np.argmin(((skin.points - q) ** 2).sum(1))) for q in points])


def _lip_border(skin: Skin, x: float, direction: int) -> int:
    """The vertex where the red of the lip ends above (-1) or below (1) at x."""

    strip = skin.strips[1] if direction < 0 else skin.strips[2]
    index = strip.ravel()
    height = lip_heights(np.array([x]), Shape())[direction > 0][0]
    p = skin.points[index]
    cost = np.abs(p[:, 0] - x) + np.abs(skin.line_distance[index] - direction * height) + 99 * (p[:, 2] > 0)
    # rows inside the lip share the margin's distance; they lie deeper
    return int(index[np.argmin(cost + 0.01 * p[:, 2])])


def lip_rows(skin: Skin) -> tuple[np.ndarray, np.ndarray]:
    """Vertex numbers of the margins of upper and lower lip, one for each column."""
    return skin.strips[1][-1 - INNER_LIP_ROWS], skin.strips[2][INNER_LIP_ROWS]


def lid_rows(skin: Skin) -> tuple[np.ndarray, np.ndarray]:
    """Vertex numbers of the margins of upper and lower lids, one for each column."""
    return skin.strips[0][-1], skin.strips[1][0]
