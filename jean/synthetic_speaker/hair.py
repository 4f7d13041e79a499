"""Hair: a textured shell over the scalp, in five styles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jean.synthetic_speaker.meshes import TexturedMesh, grid_mesh, smoothstep
from jean.synthetic_speaker.speaker_identity import SpeakerIdentity

HAIR_ROWS = 32  # rows of the shell from crown to tips
# Angles from the front at which the hairline is given.
HAIRLINE_DEGREES = (0, 22, 38, 50, 62, 74, 84, 96, 110, 130, 180)


def hairline_heights(style: str, end: bool) -> np.ndarray:
    """Heights (y, cm) of the hair roots at ``HAIRLINE_DEGREES``; with ``end``, of the tips."""
    front = {"short": -9.3, "side": -9.0, "bob": -9.3, "long": -9.4, "curly": -8.8}[style]
    root = np.array([front, front + 0.1, front + 0.7, -7.2, -5.6, -3.0, 0.4, -2.6, 1.5, 4.2, 4.8])
    if style not in ("bob", "long") or not end:
        return root
    tips = 7.4 if style == "bob" else 14.5
    return np.array([front, front + 0.1, front + 0.6, -7.0, -4.6, tips - 1.5, tips, tips, tips, tips, tips])


def hair_shell(identity: SpeakerIdentity, scalp: np.ndarray, normal: np.ndarray, angle: np.ndarray) -> TexturedMesh:
    """Builds the hair of a person as a shell over the scalp.

    Args:
        identity: gives style and seed.
        scalp: [rows, columns, 3], points of the head from the crown to the jaw.
        normal: [rows, columns, 3], outward unit normals.
        angle: [columns], rad from the front, -pi to pi.

    Returns:
        A mesh whose texture runs along the strands: v is 0 at the crown and 1 at the tips.
    """
    style = identity.hair_style
    falls = style in ("bob", "long")
    rng = np.random.default_rng([0x4A, identity.seed])
    columns = len(angle)
    degrees = np.abs(np.rad2deg(angle))
    line = np.interp(degrees, HAIRLINE_DEGREES, hairline_heights(style, end=True))
    line = line + 0.12 * np.interp(angle, np.linspace(-3.2, 3.2, 40), rng.normal(size=40))
    rows = HAIR_ROWS
    v = np.linspace(0, 1, rows)[:, None]
    crown = -13.0
    height = crown + (line - crown)[None] * v**1.15
    points = np.empty((rows, columns, 3))
    outward = np.empty((rows, columns, 3))
    for c in range(columns):
        column = scalp[:, c]
        for k in range(3):
            points[:, c, k] = np.interp(height[:, c], column[:, 1], column[:, k])
            outward[:, c, k] = np.interp(height[:, c], column[:, 1], normal[:, c, k])
    points[..., 1] = height
    outward /= np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-6)
    thick = {"short": 0.8, "side": 1.15, "bob": 1.3, "long": 1.25, "curly": 1.9}[style]
    if falls:
        _hang(points, outward, height)
    # A fringe ends bluntly; combed-back hair rises from the hairline.
    taper = 0.05 + 0.95 * np.clip((1 - v) / 0.5, 0, 1) ** (0.6 if falls else 0.85)
    if falls:
        hanging = smoothstep(degrees, 58, 74)[None]
        taper = taper * (1 - hanging) + hanging * (0.55 + 0.45 * np.clip((1 - v) / 0.3, 0, 1))
    # No waves at the crown, where all locks meet.
    lump = _waves(rng, angle, v, 26 if style == "curly" else 14) * smoothstep(v, 0.0, 0.2)
    strength = {"curly": 0.30, "short": 0.12}.get(style, 0.10)
    top = 1 + 0.30 * smoothstep(np.abs(angle)[None], 1.6, 0.3) * smoothstep(v, 0.2, 0.6)
    part_side = (
        0.22
        * smoothstep(v, 0.0, 0.25)
        * np.tanh(3 * (angle - 0.35))[None]
        * smoothstep(degrees, 90, 30)[None]
        * (style == "side")
    )
    points = points + outward * (thick * (top + part_side) * taper * (1 + strength * lump))[..., None]
    uv = np.stack([np.broadcast_to((angle / np.pi + 1) / 2, (rows, columns)), np.broadcast_to(v, (rows, columns))], -1)
    shade = np.clip(0.80 + 0.18 * lump + 0.15 * (1 - v), 0.4, 1.1)
    shade = shade * (1 - 0.35 * smoothstep(height, 0.0, 7.0))
    return grid_mesh("hair", points, uv, shade)


def hair_lining(shell: TexturedMesh) -> TexturedMesh:
    """The dark inside of hanging hair, visible behind the neck: the shell scaled by 0.985 and reversed."""
    points = shell.points.copy()
    points[:, [0, 2]] = np.array([0.0, 2.3]) + (points[:, [0, 2]] - np.array([0.0, 2.3])) * 0.985
    v = shell.uv[:, 1].reshape(HAIR_ROWS, -1)
    rows = slice(0, int(0.97 * HAIR_ROWS))
    shade = np.full(v.shape, 0.33)
    lining = grid_mesh(
        "lining",
        points.reshape(HAIR_ROWS, -1, 3)[rows],
        shell.uv.reshape(HAIR_ROWS, -1, 2)[rows],
        shade[rows],
        flip=True,
    )
    # Keep what is visible from the front: beside the face and behind the neck.
    degrees = np.abs(lining.uv[:, 0] * 2 - 1) * 180
    beside = (degrees > 32) & (lining.points[:, 1] > -11)
    return replace(lining, triangles=lining.triangles[beside[lining.triangles].all(1)])


def _hang(points: np.ndarray, outward: np.ndarray, height: np.ndarray) -> None:
    """Makes hair fall straight from the widest height of the head instead of following the neck; in place."""
    for c in range(points.shape[1]):
        x, z = points[:, c, 0], points[:, c, 2]
        below = height[:, c] > -3.0
        if not below.any():
            continue
        first = int(np.argmax(below))
        reach = np.hypot(x[first], z[first] - 2.3)
        direction = np.array([x[first], z[first] - 2.3]) / max(reach, 1e-6)
        fall = height[below, c] + 3.0
        grow = reach + 0.35 * np.sin(np.clip(fall / 12, 0, 1) * np.pi) - 0.05 * fall
        points[below, c, 0] = direction[0] * grow
        points[below, c, 2] = 2.3 + direction[1] * grow
        outward[below, c] = np.array([direction[0], 0.0, direction[1]])


def _waves(rng: np.random.Generator, angle: np.ndarray, v: np.ndarray, count: int) -> np.ndarray:
    """Locks of hair: a sum of ``count`` random waves, about -1 to 1, periodic in the angle: [rows, columns]."""
    total = np.zeros((len(v), len(angle)))
    for _ in range(count):
        frequency = int(rng.integers(3, 22))
        phase, down = rng.uniform(0, 2 * np.pi), rng.uniform(-9, 9) if count > 20 else rng.uniform(-3, 3)
        total += np.sin(frequency * angle[None] + down * v + phase) / np.sqrt(count)
    return np.clip(total, -1.6, 1.6)
