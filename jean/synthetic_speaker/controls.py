"""The named controls of a face, and the displacement of every skin vertex by each of them."""

from __future__ import annotations

import numpy as np

from jean.synthetic_speaker.head_shape import MOUTH_HALF_WIDTH, MOUTH_LINE, HeadShape, SkinMesh, lid_curve
from jean.synthetic_speaker.meshes import bump, smoothstep

UPPER_CONTROLS = (
    "brow_inner_up",
    "brow_outer_up",
    "brow_furrow",
    "cheek_raise",
    "nose_wrinkle",
    "lid_tighten",
    "lid_wide",
    "blink_right",
    "blink_left",
    "gaze_x",
    "gaze_y",
)
EXPRESSION_MOUTH_CONTROLS = ("smile", "frown", "lip_tighten")
SPEECH_CONTROLS = (
    "jaw_open",
    "lip_round",
    "lip_spread",
    "lip_close",
    "lip_tuck",
    "upper_lip_raise",
    "tongue_up",
)
# All controls, in the order of every control array. Speech moves the last seven, expression the others.
CONTROLS = UPPER_CONTROLS + EXPRESSION_MOUTH_CONTROLS + SPEECH_CONTROLS


def jaw_weights(skin: SkinMesh, shape: HeadShape) -> np.ndarray:
    """How far each skin vertex follows the jaw, 0 to 1: float64 [N]."""
    x, y, z = np.abs(skin.points[:, 0]), skin.points[:, 1], skin.points[:, 2]
    half = MOUTH_HALF_WIDTH * shape.mouth_width
    side = smoothstep(y, 0.8, 7.6)
    s = smoothstep(x, 0.25 * half, half)
    above = side * s
    outside = smoothstep(x, half - 0.2, half + 1.6)
    s = s * (np.exp(-((skin.line_distance / 1.7) ** 2)) * (1 - outside) + outside)
    below = side + (1 - side) * (1 - s)
    weight = np.concatenate(
        [np.zeros(skin.strips[0].size), above[skin.strips[1]].ravel(), below[skin.strips[2]].ravel()]
    )
    return weight * smoothstep(z, 3.6, 0.6)


def control_deltas(skin: SkinMesh, shape: HeadShape) -> np.ndarray:
    """Displacement of each vertex at value 1 of each control, cm: float64 [C, N, 3], as ``CONTROLS``."""
    p = skin.points
    x, y = p[:, 0], p[:, 1]
    ax, sign = np.abs(x), np.tanh(x / 0.3)
    front = smoothstep(p[:, 2], 2.0, -1.0)
    line = skin.line_distance
    out = {name: np.zeros_like(p) for name in CONTROLS}
    # Brow movement is full at the brow and fades towards the forehead and the lids.
    brow_y = -5.0 - shape.brow_height
    brow = np.where(y < brow_y, bump(y, brow_y, 1.7), bump(y, brow_y, 0.72)) * front
    out["brow_inner_up"][:, 1] = -0.85 * bump(ax, 1.2, 1.25) * brow
    out["brow_inner_up"][:, 0] = -0.10 * sign * bump(ax, 1.4, 1.0) * brow
    out["brow_outer_up"][:, 1] = -0.75 * bump(ax, 4.3, 1.5) * brow
    low = (bump(ax, 1.5, 1.5) + 0.25 * bump(ax, 4.0, 1.5)) * brow
    out["brow_furrow"][:, 1] = 0.85 * low
    out["brow_furrow"][:, 0] = -0.36 * sign * low
    out["brow_furrow"][:, 2] = -0.14 * low
    cheek = bump(ax, 4.0, 1.6) * bump(y, 0.1, 1.35) * front
    out["cheek_raise"][:, 1] = -0.50 * cheek
    out["cheek_raise"][:, 2] = -0.38 * cheek
    wrinkle = bump(ax, 1.15, 0.8) * bump(y, 0.6, 1.3) * front
    out["nose_wrinkle"][:, 1] = -0.35 * wrinkle - 0.16 * bump(ax, 1.5, 1.0) * bump(y, 3.3, 0.8) * front
    out["nose_wrinkle"][:, 2] = -0.12 * wrinkle
    _lid_deltas(out, skin, shape)
    _mouth_deltas(out, x, y, line, front, sign, shape)
    return np.stack([out[name] for name in CONTROLS])


def _lid_deltas(out: dict[str, np.ndarray], skin: SkinMesh, shape: HeadShape) -> None:
    """Fills in the displacements of both lids."""
    x = skin.points[:, 0]
    upper, lower = lid_curve(x, shape.eye_height)
    margin = np.zeros(len(x))  # distance from the neutral lid margin, cm
    columns = skin.strips[0].shape[1]
    is_upper = np.zeros(len(x), bool)
    is_upper[skin.strips[0].ravel()] = True
    is_lower = np.zeros(len(x), bool)
    is_lower[skin.strips[1].ravel()] = True
    for strip, row in ((skin.strips[0], skin.strips[0][-1]), (skin.strips[1], skin.strips[1][0])):
        edge = np.tile(skin.points[row, 1], strip.size // columns)
        margin[strip.ravel()] = np.abs(skin.points[strip.ravel(), 1] - edge)
    margin[skin.strips[2].ravel()] = 9.0
    front = skin.points[:, 2] < 0
    t = np.clip(1 - margin / 0.85, 0, 1)
    fall_up = t * t * (3 - 2 * t) * is_upper * front
    t = np.clip(1 - margin / 1.3, 0, 1)
    fall_low = t * t * (3 - 2 * t) * is_lower * front
    closing = 0.72 * lower - upper  # closed lids meet low, at 72 % of the lower lid's offset
    out["lid_tighten"][:, 1] = 0.26 * closing * fall_up - 0.42 * (lower - upper) * 0.5 * fall_low
    out["lid_wide"][:, 1] = -0.30 * np.clip(-upper / 0.5, 0, 1) * fall_up + 0.06 * np.clip(lower, 0, 1) * fall_low
    out["cheek_raise"][:, 1] += -0.30 * lower * fall_low
    for name, side in (("blink_right", -1), ("blink_left", 1)):
        out[name][:, 1] = np.where(side * x > 0, closing * fall_up - 0.28 * lower * fall_low, 0.0)
    # The upper lids follow vertical gaze.
    out["gaze_y"][:, 1] = 0.45 * closing * fall_up + 0.10 * lower * fall_low


def _mouth_deltas(
    out: dict[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    line: np.ndarray,
    front: np.ndarray,
    sign: np.ndarray,
    shape: HeadShape,
) -> None:
    """Fills in the displacements of the mouth; arguments as in ``control_deltas``."""
    ax = np.abs(x)
    half = MOUTH_HALF_WIDTH * shape.mouth_width
    corner = bump(ax, half + 0.1, 1.15) * bump(y, MOUTH_LINE + 0.1, 1.25) * front
    zone = bump(y, MOUTH_LINE, 1.5) * front * smoothstep(ax, 4.6, 1.6)
    stretch = np.clip(ax / half, 0, 1) * smoothstep(ax, 5.4, 2.0) * bump(y, MOUTH_LINE, 1.35) * front * sign
    out["smile"][:, 0] = 0.68 * stretch
    out["smile"][:, 1] = -0.75 * corner * smoothstep(ax, 0.5, 2.3)
    out["smile"][:, 2] = 0.42 * corner - 0.40 * bump(ax, 4.0, 1.1) * bump(y, 1.6, 1.0) * front
    out["smile"][:, 1] += -0.25 * bump(ax, 4.0, 1.3) * bump(y, 1.4, 1.1) * front
    out["smile"][:, 1] += -0.10 * line * zone  # stretched lips are thinner
    out["smile"][:, 2] += 0.20 * zone * bump(ax, 0, 1.6)
    out["frown"][:, 1] = 0.75 * corner * smoothstep(ax, 0.5, 2.3)
    out["frown"][:, 0] = -0.10 * stretch
    out["frown"][:, 1] += -0.14 * bump(x, 0, 1.2) * bump(y, 6.2, 0.9) * front
    out["frown"][:, 2] = -0.14 * bump(x, 0, 1.2) * bump(y, 5.6, 0.6) * front
    lips = np.exp(-((line / 0.9) ** 2)) * smoothstep(ax, half + 0.6, half - 0.8) * front
    out["lip_tighten"][:, 1] = -0.38 * line * lips
    out["lip_tighten"][:, 2] = 0.22 * lips
    out["lip_round"][:, 0] = -0.42 * x * smoothstep(ax, 5.2, 1.6) * bump(y, MOUTH_LINE, 1.5) * front
    out["lip_round"][:, 2] = -0.75 * lips - 0.20 * zone
    out["lip_round"][:, 1] = 0.12 * np.tanh(line / 0.3) * lips * (np.abs(line) > 0.02)
    out["lip_spread"][:, 0] = 0.48 * stretch
    out["lip_spread"][:, 2] = 0.28 * corner + 0.12 * zone
    out["lip_spread"][:, 1] = -0.08 * line * zone
    roll = np.exp(-((line / 0.45) ** 2)) * smoothstep(ax, half + 0.2, half - 0.6) * front
    out["lip_close"][:, 2] = 0.16 * roll
    out["lip_close"][:, 1] = -0.22 * line * lips
    lower_lip = lips * (line > 0)
    out["lip_tuck"][:, 1] = -0.20 * lower_lip * bump(line, 0.4, 0.8)
    out["lip_tuck"][:, 2] = 0.34 * lower_lip
    upper_lip = lips * (line < 0) * smoothstep(ax, half, 0.6 * half)
    out["upper_lip_raise"][:, 1] = -0.34 * upper_lip
