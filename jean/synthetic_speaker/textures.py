"""Procedural textures of one person: uint8 [H, W, 3] RGB, or [H, W, 4] RGBA for hair and lashes."""

from __future__ import annotations

import numpy as np

from jean.synthetic_speaker.hair import HAIRLINE_DEGREES, hairline_heights
from jean.synthetic_speaker.head_shape import EYE_CENTER, MOUTH_LINE, lid_curve, lip_heights, lip_line
from jean.synthetic_speaker.meshes import bump, smoothstep
from jean.synthetic_speaker.speaker_identity import Colour, SpeakerIdentity

SKIN_LEFT, SKIN_TOP, SKIN_WIDTH, SKIN_HEIGHT = -9.0, -13.6, 18.0, 25.0  # area of the skin texture, cm
PX_PER_CM = 32  # of the skin texture


def skin_uv(points: np.ndarray) -> np.ndarray:
    """Texture coordinates [..., 2] of neutral skin points [..., 3], by projection from the front."""
    return np.stack([(points[..., 0] - SKIN_LEFT) / SKIN_WIDTH, (points[..., 1] - SKIN_TOP) / SKIN_HEIGHT], -1)


def skin_texture(identity: SpeakerIdentity) -> np.ndarray:
    """The face from the front, without lighting."""
    rng = np.random.default_rng([0x5C, identity.seed])
    h, w = int(SKIN_HEIGHT * PX_PER_CM), int(SKIN_WIDTH * PX_PER_CM)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) / PX_PER_CM
    x, y = x + SKIN_LEFT, y + SKIN_TOP
    ax = np.abs(x)  # the face is symmetric
    colour = np.broadcast_to(np.array(identity.skin, np.float32), (h, w, 3)).copy()
    fade = smoothstep(ax, 8.4, 6.0)
    blotch = _noise(rng, h, w, 22) * 3.0 + _noise(rng, h, w, 60) * 3.5
    fine = _noise(rng, h, w, 1.6) * 2.6 + _noise(rng, h, w, 4) * 1.8
    colour *= 1 + ((blotch + fine) * fade)[..., None] / 255 * np.array([0.8, 1.0, 1.0], np.float32)
    redness = 0.9 * bump(ax, 4.2, 1.6) * bump(y, 1.0, 1.5) + 0.9 * bump(x, 0, 1.0) * bump(y, 0.9, 1.0)
    redness += 0.5 * bump(x, 0, 1.3) * bump(y, 7.8, 0.9) + 0.35 * bump(ax, 3.1, 1.6) * bump(y, -3.4, 0.6)
    redness += 0.25 * bump(ax, 8.0, 1.0)
    _blend(colour, np.array(identity.skin) * [1.0, 0.74, 0.70], np.clip(redness, 0, 1) * 0.42)
    eye_circles = bump(ax, 2.7, 1.0) * bump(y, -1.55, 0.38)
    _blend(colour, np.array(identity.skin) * [0.72, 0.62, 0.66], eye_circles * 0.30)
    _blend(colour, np.array(identity.skin) * [0.55, 0.42, 0.40], 0.30 * bump(ax, 3.1, 1.3) * bump(y, -3.62, 0.16))
    fold_x = 1.85 + 0.42 * (y - 1.6)
    nasolabial = bump(ax, fold_x + 0.12, 0.16) * smoothstep(y, 1.5, 2.3) * smoothstep(y, 4.4, 3.4)
    _blend(colour, np.array(identity.skin) * [0.62, 0.50, 0.48], 0.24 * nasolabial)
    nostril_y = 1.93 + 3 * (identity.shape.nose_length - 1)
    nostril = bump(ax, 0.60 * identity.shape.nose_width, 0.24) * bump(y, nostril_y, 0.17)
    _blend(colour, (38, 18, 16), np.clip(1.35 * nostril, 0, 1) * 0.8)
    degrees = np.rad2deg(np.arcsin(np.clip(ax / 7.55, 0, 0.999)))
    roots = np.interp(degrees, HAIRLINE_DEGREES[:7], hairline_heights(identity.hair_style, end=False)[:7])
    fringe = np.repeat(_noise(rng, 1, w, 2.5), h, 0)
    root = smoothstep(y - roots + 0.10 * np.clip(fringe, -2, 2), 0.35, -0.75)
    _blend(colour, np.array(identity.hair) * 0.62 + 6, 0.85 * root)
    _add_stubble(colour, identity, rng, ax, y)
    _add_freckles(colour, identity, rng)
    _add_lips(colour, identity, rng, x, y)
    _add_lids(colour, identity, x, y)
    _add_brows(colour, identity, rng)
    return np.clip(colour, 0, 255).astype(np.uint8)


def _blend(colour: np.ndarray, other: Colour | np.ndarray, amount: np.ndarray) -> None:
    """Blends ``other`` into ``colour`` [H, W, 3] in place, with opacity ``amount`` [H, W]."""
    a = np.asarray(amount, np.float32)[..., None]
    colour *= 1 - a
    colour += a * np.asarray(other, np.float32)


def _noise(rng: np.random.Generator, h: int, w: int, grain: float) -> np.ndarray:
    """Smooth noise [h, w] of about unit variance with a grain of about ``grain`` px."""
    import cv2

    small = rng.normal(size=(int(h / grain) + 4, int(w / grain) + 4)).astype(np.float32)
    return cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC) * 1.2


def _add_stubble(
    colour: np.ndarray, identity: SpeakerIdentity, rng: np.random.Generator, ax: np.ndarray, y: np.ndarray
) -> None:
    """Adds beard and moustache shadow of strength ``identity.stubble``."""
    if identity.stubble <= 0.05:
        return
    beard = smoothstep(y, 2.6, 4.2) * smoothstep(y + 0.42 * ax, 4.2, 6.4)
    moustache = bump(ax, 0.9, 1.1) * bump(y, 3.0, 0.42)
    area = np.clip(beard + moustache, 0, 1) * (0.75 + 0.25 * np.clip(_noise(rng, y.shape[0], y.shape[1], 1.3), -2, 2))
    shade = np.array(identity.skin) * 0.55 + np.array(identity.hair) * 0.25
    _blend(colour, shade, np.clip(area, 0, 1) * 0.55 * identity.stubble)


def _add_freckles(colour: np.ndarray, identity: SpeakerIdentity, rng: np.random.Generator) -> None:
    """Adds freckles of strength ``identity.freckles``."""
    import cv2

    if identity.freckles <= 0:
        return
    dots = np.zeros(colour.shape[:2], np.float32)
    for _ in range(int(260 * identity.freckles)):
        x, y = rng.normal(0, 2.9), rng.normal(0.1, 1.3)
        centre = (int((x - SKIN_LEFT) * PX_PER_CM), int((y - SKIN_TOP) * PX_PER_CM))
        cv2.circle(dots, centre, int(rng.integers(1, 3)), float(rng.uniform(0.2, 0.7)), -1, cv2.LINE_AA)
    _blend(colour, np.array(identity.skin) * [0.70, 0.56, 0.46], cv2.GaussianBlur(dots, (0, 0), 0.9) * 0.5)


def _add_lips(
    colour: np.ndarray, identity: SpeakerIdentity, rng: np.random.Generator, x: np.ndarray, y: np.ndarray
) -> None:
    """Colours the lips and darkens the line between them."""
    upper, lower = lip_heights(x, identity.shape)
    d = y - MOUTH_LINE - lip_line(x)
    inside = smoothstep(np.abs(x), 2.60, 2.30)
    red = smoothstep(-d, upper + 0.07, upper - 0.10) * smoothstep(d, lower + 0.16, lower - 0.16) * inside
    lines = 1 + 0.05 * np.clip(_noise(rng, 1, x.shape[1], 3.0), -2, 2) * bump(d, 0.2, 0.7)
    lip = np.array(identity.lips, np.float32)[None, None] * lines[..., None]
    tone = np.where(d < 0, 0.90, 1.05) - 0.18 * bump(d, 0.0, 0.16)
    amount = (0.82 * red)[..., None].astype(np.float32)
    colour *= 1 - amount
    colour += amount * lip * tone[..., None].astype(np.float32)
    _blend(colour, np.array(identity.lips) * 0.36, 0.75 * bump(d, 0.0, 0.05) * smoothstep(np.abs(x), 2.62, 2.3))


def _add_lids(colour: np.ndarray, identity: SpeakerIdentity, x: np.ndarray, y: np.ndarray) -> None:
    """Darkens the upper lid margin (lash roots) and reddens the lower one."""
    upper, lower = lid_curve(x, identity.shape.eye_height)
    line = EYE_CENTER[1] + 0.02 - identity.shape.eye_tilt * (np.abs(x) - 3.15)
    within = smoothstep(np.abs(x), 1.75, 2.1) * smoothstep(np.abs(x), 4.62, 4.3)
    dark = np.array(identity.skin) * 0.35
    _blend(colour, dark, within * (0.35 + 0.5 * identity.lashes) * bump(y, line + upper + 0.01, 0.055))
    _blend(colour, np.array(identity.skin) * [0.75, 0.5, 0.48], within * 0.55 * bump(y, line + lower, 0.06))


def _add_brows(colour: np.ndarray, identity: SpeakerIdentity, rng: np.random.Generator) -> None:
    """Draws 430 hairs per brow, at 1/8 px precision."""
    import cv2

    layer = np.zeros(colour.shape[:2], np.float32)
    tone = np.array(identity.hair) * 0.60 + 3
    weight = 0.85 + 0.25 * identity.stubble
    for side in (-1, 1):
        for _ in range(430):
            t = rng.uniform(0, 1)
            x = 1.25 + 4.35 * t
            middle = np.interp(t, [0, 0.3, 0.62, 1], [-4.72, -5.02, -5.30, -4.62]) - identity.shape.brow_height
            half = np.interp(t, [0, 0.12, 0.5, 0.8, 1], [0.17, 0.33, 0.29, 0.17, 0.05]) * weight
            y = middle + half * rng.uniform(-1, 1)
            lean = np.interp(t, [0, 0.25, 0.6, 1], [-1.25, -0.75, -0.15, 0.35]) + 0.12 * rng.normal()
            length = rng.uniform(0.28, 0.5)
            start = np.array([side * x, y])
            end = start + length * np.array([side * np.cos(lean), np.sin(lean)])
            a, b = ((p - [SKIN_LEFT, SKIN_TOP]) * PX_PER_CM * 8 for p in (start, end))
            cv2.line(
                layer, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), float(rng.uniform(0.55, 1)), 1, cv2.LINE_AA, 3
            )
    soft = cv2.GaussianBlur(layer, (0, 0), 5) * 0.55
    _blend(colour, tone, np.clip(np.maximum(soft, 0.8 * cv2.GaussianBlur(layer, (0, 0), 0.8)), 0, 0.9))


def eye_texture(identity: SpeakerIdentity, size: int = 192) -> np.ndarray:
    """An eyeball by polar angle: the pupil in the centre, 92 degrees from it at the rim."""
    import cv2

    rng = np.random.default_rng([0xE7, identity.seed])
    y, x = (np.mgrid[0:size, 0:size].astype(np.float32) + 0.5) / size - 0.5
    angle = np.hypot(x, y) / 0.5 * 92
    turn = np.arctan2(y, x)
    colour = np.broadcast_to(np.array((226, 220, 214), np.float32), (size, size, 3)).copy()
    _blend(colour, (208, 160, 150), 0.30 * smoothstep(angle, 42, 80))
    veins = np.clip(_noise(rng, size, size, 5), 0, 2) * smoothstep(angle, 45, 80)
    _blend(colour, (190, 110, 104), 0.12 * veins)
    fibre = np.zeros_like(angle)
    for _ in range(26):
        fibre += np.sin(int(rng.integers(8, 60)) * turn + rng.uniform(0, 6.3)) / 5
    iris = np.array(identity.eyes, np.float32)
    shade = 1.0 + 0.20 * fibre + 0.28 * bump(angle, 14, 5) - 0.15 * bump(angle, 21, 3)
    inside = smoothstep(angle, 27.5, 25.0)
    _blend(colour, (30, 24, 22), 0.55 * bump(angle, 26.3, 2.2))
    colour = colour * (1 - inside[..., None]) + inside[..., None] * iris * shade[..., None]
    _blend(colour, (24, 18, 18), 0.7 * bump(angle, 25.0, 2.0))
    _blend(colour, (10, 8, 8), smoothstep(angle, 11.5, 9.5))
    return cv2.GaussianBlur(np.clip(colour, 0, 255), (0, 0), 0.7).astype(np.uint8)


def teeth_texture(width: int = 256, height: int = 64) -> np.ndarray:
    """Both arches: the upper arch in the upper half of the image, the lower one below; gum first, then crowns."""
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    u, v = (u + np.float32(0.5)) / width * 2 - 1, ((v + np.float32(0.5)) / height * 2) % np.float32(1)
    colour = np.broadcast_to(np.array((234, 227, 212), np.float32), (height, width, 3)).copy()
    gap = np.abs(np.sin(u * 5 * np.pi))
    _blend(colour, (150, 120, 108), 0.55 * smoothstep(gap, 0.20, 0.0) * smoothstep(v, 0.15, 0.4))
    gum = smoothstep(v, 0.42 + 0.12 * (gap - 0.5), 0.30)
    _blend(colour, (186, 104, 100), gum)
    return np.clip(colour, 0, 255).astype(np.uint8)


def hair_texture(identity: SpeakerIdentity, width: int = 1024, height: int = 384) -> np.ndarray:
    """Hair with strands, locks and thinning tips, RGBA: x is the angle about the head, y runs along the strands."""
    import cv2

    rng = np.random.default_rng([0x7A, identity.seed])
    curly = identity.hair_style == "curly"
    v = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    grain = rng.normal(size=(height, width)).astype(np.float32)
    along = 3.0 if curly else 34.0
    strands = cv2.GaussianBlur(grain, (0, 0), sigmaX=0.9 if not curly else 2.2, sigmaY=along)
    locks = cv2.GaussianBlur(grain, (0, 0), sigmaX=7, sigmaY=along * 1.6)
    strands, locks = strands / strands.std(), locks / locks.std()
    tone = np.clip(1 + 0.20 * strands + 0.13 * locks, 0.4, 1.8) * (0.80 + 0.25 * v)
    colour = np.array(identity.hair, np.float32) * tone[..., None] + 3
    tips = cv2.GaussianBlur(grain, (0, 0), sigmaX=1.2, sigmaY=10)
    tips = tips / tips.std()
    alpha = smoothstep(v + 0.03 * tips + 0.015 * locks, 0.99, 0.90)
    rgba = np.concatenate([np.clip(colour, 0, 255), 255 * alpha[..., None]], -1)
    return rgba.astype(np.uint8)


def lashes_texture(identity: SpeakerIdentity, width: int = 256, height: int = 24) -> np.ndarray:
    """Lashes, RGBA, from the roots at the top of the image to the tips."""
    import cv2

    rng = np.random.default_rng([0x1A, identity.seed])
    alpha = np.zeros((height, width), np.float32)
    for x in np.linspace(4, width - 4, 74):
        end = x + (x - width / 2) * 0.10 + rng.normal() * 2
        tip = int(height * rng.uniform(0.55, 1.0))
        cv2.line(alpha, (int(x), 0), (int(end), tip), float(rng.uniform(0.6, 1)), 1, cv2.LINE_AA)
    v = np.linspace(0, 1, height)[:, None]
    opacity = np.clip(cv2.GaussianBlur(alpha, (0, 0), 0.8) + 0.9 * smoothstep(v, 0.22, 0.0), 0, 1) * identity.lashes
    colour = np.broadcast_to(np.array(identity.hair) * 0.35 + 6, (height, width, 3))
    return np.concatenate([colour, 255 * opacity[..., None]], -1).astype(np.uint8)


def cloth_texture(identity: SpeakerIdentity, width: int = 480, height: int = 280) -> np.ndarray:
    """The garment from the front: 48 cm wide, 28 cm high from the collar down."""
    rng = np.random.default_rng([0xC1, identity.seed])
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    colour = np.broadcast_to(np.array(identity.cloth, np.float32), (height, width, 3)).copy()
    weave = (
        2.2 * np.sin(x * 1.9) * np.sin(y * 1.9)
        + 3.0 * _noise(rng, height, width, 2)
        + 4 * _noise(rng, height, width, 40)
    )
    colour *= (1 + weave / 255)[..., None]
    cx, cy = (x - width / 2) / 10, y / 10  # cm
    if identity.neckline == "shirt":
        _blend(colour, np.array(identity.cloth) * 0.55, bump(cx, 0.0, 0.10) * 0.8)
        for row in range(5, 28, 5):
            _blend(colour, (235, 232, 225), smoothstep(np.hypot(cx - 0.35, cy - row), 0.32, 0.24))
        collar = smoothstep(cy - 0.62 * (9.5 - np.abs(cx)), 0.1, -0.1) * smoothstep(np.abs(cx), 9.0, 8.0)
        _blend(colour, np.array(identity.cloth) * 1.12 + 6, 0.6 * collar)
    if identity.neckline == "vneck":
        _blend(colour, identity.cloth_second, 0.0 * cx)
    return np.clip(colour, 0, 255).astype(np.uint8)


def background_image(identity: SpeakerIdentity, seed: int, size: int) -> np.ndarray:
    """A softly lit wall with blurred shapes.

    Args:
        identity: gives the wall's colour.
        seed: of the performance; every one has its own shapes.
        size: side of the image, px.

    Returns:
        float32 [size, size, 3], sRGB, 0 to 255.
    """
    import cv2

    rng = np.random.default_rng([0xB6, identity.seed, seed])
    y, x = (np.mgrid[0:size, 0:size].astype(np.float32) + 0.5) / size
    colour = np.broadcast_to(np.array(identity.wall, np.float32), (size, size, 3)).copy()
    for _ in range(7):
        left, top = rng.uniform(-0.2, 1.0), rng.uniform(-0.2, 0.9)
        right, bottom = left + rng.uniform(0.12, 0.4), top + rng.uniform(0.2, 0.7)
        soft = rng.uniform(0.02, 0.06)
        box = smoothstep(x, left - soft, left + soft) * smoothstep(x, right + soft, right - soft)
        box = box * smoothstep(y, top - soft, top + soft) * smoothstep(y, bottom + soft, bottom - soft)
        _blend(
            colour,
            np.clip(np.array(identity.wall) * rng.uniform(0.6, 1.2) + rng.normal(size=3) * 12, 0, 255),
            0.55 * box,
        )
    light = 0.80 + 0.32 * np.exp(-(((x - 0.35) / 0.55) ** 2 + ((y - 0.35) / 0.6) ** 2))
    colour *= light[..., None]
    grain = cv2.GaussianBlur(rng.normal(size=(size, size, 1)).astype(np.float32), (0, 0), 0.8)
    return np.clip(colour + 1.2 * grain.reshape(size, size, 1), 0, 255).astype(np.float32)
