"""The neutral head: a skin mesh of three grid strips that meet at the lids and at the lips.

The strips run from the crown to the upper lids, from the lower lids to the upper lip, and from the lower
lip to below the chin. They share their columns and coincide where they meet, except between the corners
of the eyes (so that lids can open) and of the mouth (so that lips can part).

Coordinates are those of head space (``jean/clips``) up to scale and offset, cm: x to the subject's left,
y down, z backwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from jean.synthetic_speaker.meshes import bump, grid_triangles, smooth_min, smoothstep, weld_numbers

EYE_LINE = -2.60  # y of the line through the eye corners, cm
MOUTH_LINE = 4.18  # y of the closed lips, cm
EYE_CENTER = (3.15, -2.62, -2.42)  # of the left eyeball (x > 0), cm; the right one is mirrored
EYE_RADIUS = 1.36  # cm
EYE_CORNERS = (1.86, 4.445)  # |x| of the inner and outer corner, cm
MOUTH_HALF_WIDTH = 2.46  # |x| of the mouth corners of the mean head, cm
INNER_LIP_ROWS = 3  # rows of each lip behind its margin

# Horizontal cross-sections from crown to chin, cm: y at the front, half width, z of front, centre and back.
_SECTIONS = np.array(
    [
        (-13.0, 0.01, 3.2, 3.2, 3.21),
        (-12.85, 1.7, 1.0, 3.2, 5.2),
        (-12.4, 3.2, -0.7, 3.1, 7.0),
        (-11.3, 5.0, -2.8, 3.0, 9.6),
        (-9.6, 6.35, -4.35, 2.8, 11.3),
        (-7.6, 7.1, -5.05, 2.6, 12.2),
        (-5.0, 7.5, -5.35, 2.3, 12.5),
        (-2.6, 7.6, -5.15, 2.1, 12.2),
        (0.0, 7.5, -4.85, 2.0, 11.2),
        (2.2, 7.2, -4.85, 1.9, 10.0),
        (4.2, 6.95, -4.85, 1.9, 9.0),
        (6.2, 6.75, -4.75, 1.9, 8.4),
        (7.9, 6.6, -4.85, 1.9, 8.0),
        (8.8, 6.5, -4.75, 1.9, 7.8),
        (9.3, 6.35, -4.4, 1.9, 7.7),
        (9.6, 6.0, -3.6, 1.9, 7.6),
    ]
)


@dataclass(frozen=True)
class HeadShape:
    """Proportions of one head; factors of 1 and the default offsets give the mean head.

    Attributes:
        face_width, jaw_width, chin_length, cheek_fullness: factors.
        nose_length, nose_width, nose_height: factors.
        eye_height, lip_fullness, mouth_width: factors.
        eye_tilt, brow_height, brow_depth, chin_depth: offsets, cm.
    """

    face_width: float = 1.0
    jaw_width: float = 1.0
    chin_length: float = 1.0
    cheek_fullness: float = 1.0
    nose_length: float = 1.0
    nose_width: float = 1.0
    nose_height: float = 1.0
    eye_height: float = 1.0
    lip_fullness: float = 1.0
    mouth_width: float = 1.0
    eye_tilt: float = 0.05
    brow_height: float = 0.0
    brow_depth: float = 0.0
    chin_depth: float = 0.0


@dataclass(frozen=True)
class SkinMesh:
    """The skin mesh.

    Attributes:
        points: float64 [N, 3], cm.
        strips: int [rows, columns], vertex numbers of each of the three strips.
        triangles: int [M, 3], counter-clockwise seen from outside.
        weld: int [N], see ``meshes.vertex_normals``.
        line_distance: float64 [N], signed distance below the line of the closed lips (negative above), cm.
    """

    points: np.ndarray
    strips: tuple[np.ndarray, np.ndarray, np.ndarray]
    triangles: np.ndarray
    weld: np.ndarray
    line_distance: np.ndarray = field(repr=False)


def lid_curve(x: np.ndarray, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (upper, lower) of the open lid margins from the eye line at x, cm; 0 outside the corners."""
    inner, outer = EYE_CORNERS
    s = np.clip((np.abs(x) - inner) / (outer - inner), 0.0, 1.0)
    upper = -0.50 * height * np.abs(np.sin(np.pi * s**0.85)) ** 0.72
    lower = 0.40 * height * np.abs(np.sin(np.pi * s**1.25)) ** 0.8
    return upper, lower


def lip_line(x: np.ndarray) -> np.ndarray:
    """Offset of the closed lips' contact line from ``MOUTH_LINE`` at x, cm: a flat M with lower corners."""
    return 0.10 * bump(np.abs(x), 0.0, 0.35) - 0.05 * bump(np.abs(x), 0.8, 0.5) + 0.13 * smoothstep(np.abs(x), 1.0, 2.6)


def lip_heights(x: np.ndarray, shape: HeadShape) -> tuple[np.ndarray, np.ndarray]:
    """Heights of the red of the upper and lower lip at x, cm; both positive, 0 at the corners."""
    s = np.clip(np.abs(x) / (MOUTH_HALF_WIDTH * shape.mouth_width), 0.0, 1.0)
    taper = (1 - s**2.2) ** 0.9
    upper = (0.68 - 0.13 * bump(s, 0.0, 0.13) + 0.06 * bump(s, 0.3, 0.12)) * taper
    lower = 1.02 * (1 - s**2) ** 0.75
    return upper * shape.lip_fullness, lower * shape.lip_fullness


def _columns() -> np.ndarray:
    """Angles of the mesh columns, rad, in [-pi, pi]; 0 is the front. They are denser over the face."""
    front = np.linspace(0, np.deg2rad(46), 27)
    side = np.linspace(np.deg2rad(46), np.deg2rad(100), 17)[1:]
    back = np.linspace(np.deg2rad(100), np.pi, 8)[1:]
    half = np.concatenate([front, side, back])
    return np.concatenate([-half[::-1], half[1:]])


def _rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heights at the front of the rows of each strip, cm, without the rows inside the lips."""
    upper = np.concatenate(
        [[-13.0, -12.85], np.arange(-12.4, -6.0, 0.45), np.arange(-5.95, -3.9, 0.2), np.linspace(-3.8, EYE_LINE, 12)]
    )
    middle = np.concatenate(
        [np.linspace(EYE_LINE, -1.9, 6), np.arange(-1.7, 2.5, 0.2), np.linspace(2.6, MOUTH_LINE, 12)]
    )
    lower = np.concatenate([np.linspace(MOUTH_LINE, 5.9, 13), np.arange(6.13, 9.2, 0.25), [9.3, 9.45, 9.6]])
    return upper, middle, lower


def _smooth_head(y0: np.ndarray, angle: np.ndarray, shape: HeadShape) -> np.ndarray:
    """Points [..., 3] of the smooth head, without facial features, for heights at the front and angles."""
    from scipy.interpolate import PchipInterpolator

    width, front, center, back = np.moveaxis(PchipInterpolator(_SECTIONS[:, 0], _SECTIONS[:, 1:])(y0), -1, 0)
    jaw = smoothstep(y0, 0.5, 9.0)
    width = width * (shape.face_width * (1 - jaw) + shape.jaw_width * jaw)
    front = front - shape.chin_depth * smoothstep(y0, 5.5, 8.5)
    power = 2.0 / np.interp(y0, [-10, -5, 2, 6, 9.5], [2.0, 2.15, 2.1, 1.9, 1.62])
    sin, cos = np.sin(angle), np.cos(angle)
    x = width * np.sign(sin) * np.abs(sin) ** power
    z = np.where(cos > 0, center - (center - front) * np.abs(cos) ** power, center + (back - center) * np.abs(cos))
    tilt = PchipInterpolator([-13, -5, 0, 4.2, 9.6], [0.0, 0.0, 0.3, 1.6, 5.4])(y0)
    y = y0 - tilt * (1 - np.clip(cos, 0, 1) ** 1.15)
    return np.stack([x, y, z], -1)


def _add_features(p: np.ndarray, shape: HeadShape) -> np.ndarray:
    """Adds brow ridge, sockets, nose, cheeks, muzzle and chin by displacement along z (negative is forward)."""
    x, y = p[..., 0], p[..., 1]
    ax = np.abs(x)
    front = smoothstep(p[..., 2], 1.5, -2.0)
    dz = 0.28 * (1 + shape.brow_depth) * bump(ax, 2.6, 2.0) * bump(y, -4.75, 0.75)  # brow ridge
    dz -= 1.45 * bump(ax, 2.75, 1.25) * bump(y, -2.55, 1.05)  # eye sockets
    dz -= 0.45 * bump(ax, 4.3, 1.1) * bump(y, -2.5, 1.0)  # their outer corners
    dz -= 0.25 * bump(ax, 6.6, 1.3) * bump(y, -3.4, 1.8)  # temples
    dz += 0.42 * shape.cheek_fullness * bump(ax, 4.3, 1.5) * bump(y, 0.3, 1.5)  # cheekbones
    dz -= 0.30 / shape.cheek_fullness * bump(ax, 4.6, 1.2) * bump(y, 4.2, 1.7)  # hollows below them
    nose_y = (y + 3.3) / shape.nose_length - 3.3  # height along a nose of mean length
    profile = np.interp(
        nose_y,
        [-5.0, -4.2, -3.3, -2.5, -1.7, -0.4, 0.46, 0.95, 1.35, 1.72, 2.05, 2.5, 3.0],
        [0.0, 0.06, 0.28, 0.78, 1.30, 2.12, 2.60, 2.66, 2.42, 1.72, 0.92, 0.32, 0.0],
    )
    ridge = np.interp(nose_y, [-4.0, -2.5, -0.5, 0.8, 2.0], [0.62, 0.50, 0.60, 0.80, 0.75]) * shape.nose_width
    dz += shape.nose_height * profile * (0.72 * bump(x, 0.0, ridge) + 0.28 * bump(x, 0.0, 1.9 * ridge))
    ala = np.sqrt(((ax - 1.12 * shape.nose_width) / 0.46) ** 2 + ((nose_y - 1.22) / 0.62) ** 2)
    dz += 0.95 * smoothstep(ala, 1.35, 0.2)  # wings of the nose
    dz -= 0.5 * bump(ax, 0.58 * shape.nose_width, 0.22) * bump(nose_y, 1.95, 0.16)  # nostrils
    dz += 0.85 * bump(x, 0.0, 1.7) * bump(y, 4.2, 1.75)  # muzzle
    dz -= 0.12 * bump(x, 0.0, 0.22) * bump(y, 2.8, 0.5)  # philtrum
    fold_x = 1.75 + 0.42 * (y - 1.6)  # nasolabial fold
    dz -= 0.16 * bump(ax, fold_x + 0.3, 0.35) * smoothstep(y, 1.2, 2.0) * smoothstep(y, 4.8, 3.4)
    dz -= 0.45 * bump(x, 0.0, 1.5) * bump(y, 6.05, 0.45)  # groove below the lower lip
    dz += 0.55 * bump(x, 0.0, 1.25) * bump(y, 7.7, 0.85)  # chin
    out = p.copy()
    out[..., 2] -= dz * front
    return out


def _add_lips(p: np.ndarray, line: np.ndarray, shape: HeadShape) -> np.ndarray:
    """Adds the bulge of both lips; ``line`` is the signed distance below the contact line, cm."""
    upper, lower = lip_heights(p[..., 0], shape)
    out = p.copy()
    t = np.where(line < 0, -line / np.maximum(upper, 0.05), line / np.maximum(lower, 0.05))
    plump = np.where(line < 0, upper / 0.68, lower / 1.0)
    roll = np.interp(t, [0, 0.25, 0.6, 1.0, 1.35, 1.9], [-0.02, 0.32, 0.44, 0.26, 0.06, 0.0]) * 0.85
    roll = np.where(line < 0, roll * 0.9, roll)
    crease = -0.38 * bump(line, 0.0, 0.10) * smoothstep(np.abs(p[..., 0]), 3.0, 1.8)
    inside = np.abs(p[..., 0]) < 4
    out[..., 2] -= np.where(inside & (p[..., 2] < 0), roll * np.minimum(plump, 1.4) + crease, 0.0)
    return out


def build_skin(shape: HeadShape) -> SkinMesh:
    """Builds the neutral skin: eyes open, lips closed, lids not yet laid over the eyeballs."""
    angle = _columns()
    heights = _rows()
    blocks, strips, lines, start = [], [], [], 0
    for number, rows in enumerate(heights):
        y0, theta = np.meshgrid(rows, angle, indexing="ij")
        p = _smooth_head(y0, theta, shape)
        p = _align_rows(p, y0, shape)
        line = p[..., 1] - MOUTH_LINE - lip_line(p[..., 0])
        p = _add_lips(_add_features(p, shape), line, shape)
        if number == 1:
            p, line = _add_inner_lip(p, line, shape, last=True)
        if number == 2:
            p, line = _add_inner_lip(p, line, shape, last=False)
            p, line = _add_underside(p, line)
        count = p.shape[0] * p.shape[1]
        strips.append(np.arange(start, start + count).reshape(p.shape[:2]))
        blocks.append(p.reshape(-1, 3))
        lines.append(line.reshape(-1))
        start += count
    points = np.concatenate(blocks)
    points = _stretch_chin(points, shape)
    strip_tuple = (strips[0], strips[1], strips[2])
    triangles = np.concatenate([grid_triangles(s) for s in strip_tuple])
    return SkinMesh(points, strip_tuple, triangles, weld_numbers(points), np.concatenate(lines))


def _align_rows(p: np.ndarray, y0: np.ndarray, shape: HeadShape) -> np.ndarray:
    """Shifts rows so that the strips' meeting rows follow the open lids and the line of the lips."""
    x = p[..., 0]
    front = smoothstep(p[..., 2], 0.0, -2.0)
    upper, lower = lid_curve(x, shape.eye_height)
    above = y0 <= EYE_LINE
    t = np.abs(y0 - EYE_LINE) / np.where(above, 1.15, 1.0)
    fall = np.clip(1 - t, 0, 1) ** 2 * (1 + 2 * np.clip(t, 0, 1))
    # The strip above the eyes ends at EYE_LINE; the one below begins there.
    offset = np.where(above, upper, lower) * fall
    is_lower_strip = y0[0, 0] >= EYE_LINE
    if is_lower_strip:
        offset = lower * fall
    tilt = -shape.eye_tilt * (np.abs(x) - 3.15) * bump(y0, EYE_LINE, 2.0)
    mouth = lip_line(x) * np.clip(1 - np.abs(y0 - MOUTH_LINE) / 1.6, 0, 1)
    out = p.copy()
    out[..., 1] += (offset + tilt + mouth) * front
    return out


def _add_inner_lip(p: np.ndarray, line: np.ndarray, shape: HeadShape, last: bool) -> tuple[np.ndarray, np.ndarray]:
    """Adds the inner lip: rows behind the lip margin, which differ from it only between the mouth corners."""
    margin = p[-1] if last else p[0]
    half = MOUTH_HALF_WIDTH * shape.mouth_width
    inside = (np.abs(margin[:, 0]) < half) & (margin[:, 2] < 0)
    amount = np.where(inside, np.clip(1 - (margin[:, 0] / half) ** 2, 0, 1) ** 0.5, 0.0)
    rows = []
    for depth, away in ((0.14, 0.04), (0.30, 0.16), (0.44, 0.42)):
        row = margin.copy()
        row[:, 2] += depth * amount
        row[:, 1] += (-away if last else away) * amount
        rows.append(row)
    extra = np.stack(rows)
    zero = np.zeros((INNER_LIP_ROWS, p.shape[1]))
    if last:
        return np.concatenate([p, extra]), np.concatenate([line, zero - 1e-3])
    return np.concatenate([extra[::-1], p]), np.concatenate([zero + 1e-3, line])


def _add_underside(p: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Closes the head below the jaw."""
    edge = p[-1]
    rows = []
    for factor, drop in ((0.93, 0.10), (0.80, 0.1), (0.6, -0.1), (0.3, -0.4)):
        row = edge.copy()
        row[:, 0] *= factor
        row[:, 2] = 2.5 + (edge[:, 2] - 2.5) * factor
        row[:, 1] += drop
        rows.append(row)
    return np.concatenate([p, np.stack(rows)]), np.concatenate([line, np.repeat(line[-1:], len(rows), 0)])


def _stretch_chin(points: np.ndarray, shape: HeadShape) -> np.ndarray:
    """Stretches the chin by ``shape.chin_length``."""
    out = points.copy()
    y = points[:, 1]
    out[:, 1] += (shape.chin_length - 1) * 4.0 * smoothstep(y, 5.0, 9.5) * smoothstep(points[:, 2], 6.0, 0.0)
    return out


def over_eyeballs(points: np.ndarray) -> np.ndarray:
    """Pushes lid vertices forward onto the eyeballs, so that none lies inside."""
    out = points.copy()
    for side in (-1.0, 1.0):
        dx, dy = out[:, 0] - side * EYE_CENTER[0], out[:, 1] - EYE_CENTER[1]
        square = (EYE_RADIUS + 0.09) ** 2 - dx**2 - dy**2
        near = (square > 0) & (out[:, 2] < 0)
        lid = EYE_CENTER[2] - np.sqrt(np.maximum(square[near], 0))
        out[near, 2] = smooth_min(out[near, 2], lid, 0.30)
    return out
