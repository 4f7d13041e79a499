"""A schematic speaker with a known matte: hair, face, neck and shoulders in front of a patterned wall."""

from __future__ import annotations

import numpy as np

SIDE = 128
UNIT = SIDE * 0.42  # width of the face, px
HAIR, SKIN, SHIRT = (70, 45, 30), (215, 165, 135), (150, 40, 50)


def template() -> np.ndarray:
    """iBUG-68 landmarks [68, 2] of a round face of width 1 with its centre at the origin."""
    turn = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.48 * np.cos(turn), -0.1 + 0.6 * np.sin(turn)], 1)
    brows = [np.stack([np.linspace(a, a + 0.25, 5), np.full(5, -0.33)], 1) for a in (-0.35, 0.1)]
    nose = [
        np.stack([np.zeros(4), np.linspace(-0.25, 0, 4)], 1),
        np.stack([np.linspace(-0.1, 0.1, 5), np.full(5, 0.07)], 1),
    ]
    lid = np.array([(-1, 0), (-0.4, -1), (0.4, -1), (1, 0), (0.4, 1), (-0.4, 1)]) * [0.08, 0.03]
    eyes = [lid + np.array([x, -0.23]) for x in (-0.22, 0.22)]
    rings = [np.linspace(np.pi, -np.pi, n, endpoint=False) for n in (12, 8)]
    lips = [
        np.stack([r * np.cos(ring), 0.25 - r / 2 * np.sin(ring)], 1) for r, ring in zip((0.16, 0.1), rings, strict=True)
    ]
    return np.concatenate([jaw, *brows, *nose, *eyes, *lips])


def wall(seed: int = 0) -> np.ndarray:
    """A background of blurred green and blue blocks, uint8 [S, S, 3]."""
    import cv2

    blocks = np.random.default_rng(seed).integers(70, 180, (6, 6, 3)).astype(np.uint8)
    blocks[..., 0] //= 2
    return cv2.GaussianBlur(cv2.resize(blocks, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST), (0, 0), 2)


def draw(shift_px: float, behind: np.ndarray, noise: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frame uint8 [S, S, 3], landmarks [68, 2] px, truth bool [S, S, 2] (head, torso)."""
    import cv2

    middle = np.array([SIDE / 2 + shift_px, SIDE * 0.54])
    points = template() * UNIT + middle

    def shape(draw_on) -> np.ndarray:
        layer = np.zeros((SIDE, SIDE), np.uint8)
        draw_on(layer)
        return layer > 0

    def ellipse(down: float, width: float, height: float) -> np.ndarray:
        centre, half = middle + np.array([0, down * UNIT]), (round(width * UNIT), round(height * UNIT))
        return shape(lambda on: cv2.ellipse(on, np.round(centre).astype(int).tolist(), half, 0, 0, 360, 1, -1))

    jaw = np.round(points[:17]).astype(np.int32)
    face = shape(lambda on: cv2.fillPoly(on, [jaw], 1)) | ellipse(-0.2, 0.48, 0.42)
    hair = ellipse(-0.35, 0.62, 0.6) & ~face
    neck = shape(lambda on: cv2.rectangle(on, (SIDE // 2 - 13, SIDE * 3 // 4), (SIDE // 2 + 13, SIDE), 1, -1))
    line = [(0, SIDE), (4, SIDE - 10), (SIDE // 2, SIDE - 22), (SIDE - 4, SIDE - 10), (SIDE, SIDE)]
    shoulders = shape(lambda on: cv2.fillPoly(on, [np.array(line, np.int32)], 1))
    image = behind.copy()
    for where, colour in ((shoulders, SHIRT), (neck, (170, 130, 108)), (hair, HAIR), (face, SKIN)):
        image[where] = colour
    for part in (slice(36, 42), slice(42, 48), slice(48, 60)):
        cv2.fillPoly(image, [np.round(points[part]).astype(np.int32)], (60, 20, 30))
    image = np.clip(image + noise.normal(0, 2.5, image.shape), 0, 255).astype(np.uint8)
    head = face | hair
    return image, points, np.stack([head, (neck | shoulders) & ~head], -1)


def clip(count: int = 24, reach_px: float = 7.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames [T, S, S, 3], landmarks [T, 68, 2] and true mattes [T, S, S, 2]; the head moves from side to side."""
    noise, behind = np.random.default_rng(1), wall()
    drawn = [draw(reach_px * np.sin(t / 5), behind, noise) for t in range(count)]
    frames, points, truth = (np.stack(part) for part in zip(*drawn, strict=True))
    return frames, points.astype(np.float32), truth
