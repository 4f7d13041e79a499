"""Meshes of the body parts other than facial skin and hair: eyeballs, inner mouth, ears, neck, clothes.

Points are in the coordinates of ``head_shape.py``, cm. Texture coordinates are 0 to 1 in the mesh's own
texture (``textures.py``).
"""

from __future__ import annotations

import numpy as np

from jean.synthetic_speaker.head_shape import EYE_CENTER, EYE_RADIUS
from jean.synthetic_speaker.meshes import TexturedMesh, bump, grid_mesh, smoothstep
from jean.synthetic_speaker.speaker_identity import SpeakerIdentity


def eyeball(side: int) -> TexturedMesh:
    """The front of an eyeball with straight gaze; ``side`` is -1 (subject's right) or 1 (left)."""
    angle = np.deg2rad(np.concatenate([[0, 6, 12, 18, 24, 29], np.arange(36, 96, 8)]))
    turn = np.linspace(0, 2 * np.pi, 29)
    a, t = np.meshgrid(angle, turn, indexing="ij")
    direction = np.stack([np.sin(a) * np.cos(t), np.sin(a) * np.sin(t), -np.cos(a)], -1)
    center = np.array([side * EYE_CENTER[0], EYE_CENTER[1], EYE_CENTER[2]])
    radius = a / np.deg2rad(92) * 0.5
    uv = np.stack([0.5 + radius * np.cos(t), 0.5 + radius * np.sin(t)], -1)
    return grid_mesh("eye", center + EYE_RADIUS * direction, uv, np.ones(a.shape), flip=True)


def teeth(upper: bool) -> TexturedMesh:
    """One arch of teeth with gum; in the texture u runs along the arch, v from the gum to the edge."""
    u, v = np.meshgrid(np.linspace(-1, 1, 33), np.linspace(0, 1, 8), indexing="xy")
    x = 2.1 * np.sin(u * 1.25) / np.sin(1.25)
    depth = -4.55 + 0.40 * x**2 + 0.02 * x**4
    crown = 0.025 * np.cos(u * 10 * np.pi) * v**3  # scalloped edges of single teeth
    if upper:
        y = 2.80 + (1.66 + 0.08 * bump(u, 0.0, 0.25)) * v - crown - 0.10 * u**2
        depth = depth - 0.08 * v
    else:
        y = 6.0 - 1.22 * v + crown + 0.05 * u**2
        depth = depth + 0.38 - 0.02 * v
    points = np.stack([x, y, depth], -1)
    shade = (0.62 + 0.38 * smoothstep(np.abs(u), 1.0, 0.25)) * np.ones_like(v)
    uv = np.stack([(u + 1) / 2, v * 0.5 + (0.0 if upper else 0.5)], -1)
    return grid_mesh("teeth", points, uv, shade, flip=not upper)


def cavity() -> TexturedMesh:
    """The dark surface at the back of the mouth."""
    u, v = np.meshgrid(np.linspace(-1, 1, 13), np.linspace(0, 1, 10))
    points = np.stack([3.0 * u, 2.4 + 5.2 * v, -2.2 + 0.4 * u**2], -1)
    return grid_mesh("cavity", points, np.stack([(u + 1) / 2, v], -1), 0.35 + 0.3 * v)


def socket(side: int) -> TexturedMesh:
    """Flesh behind an eyeball, visible in the corners of the eye; ``side`` as in ``eyeball``."""
    u, v = np.meshgrid(np.linspace(-1, 1, 7), np.linspace(-1, 1, 5))
    points = np.stack([side * EYE_CENTER[0] + 1.75 * u, EYE_CENTER[1] + 1.0 * v, -2.72 + 0 * u], -1)
    return grid_mesh("socket", points, np.stack([(u + 1) / 2, (v + 1) / 2], -1), np.full(u.shape, 0.7))


def tongue() -> TexturedMesh:
    """The tongue on the floor of the mouth; its tip is at v = 1."""
    u, v = np.meshgrid(np.linspace(-1, 1, 17), np.linspace(0, 1, 14))
    width = 1.55 * np.sqrt(np.clip(1 - (v * 0.97) ** 4, 0, 1))
    x = width * u
    z = -1.6 - 2.3 * v
    y = 5.0 + 0.35 * u**2 * (1 - 0.3 * v) + 0.15 * bump(u, 0, 0.12) + 0.45 * v**4 - 0.2 * np.sin(np.pi * v)
    return grid_mesh("tongue", np.stack([x, y, z], -1), np.stack([(u + 1) / 2, v], -1), 0.55 + 0.35 * v)


def ear(side: int) -> TexturedMesh:
    """An ear with helix, antihelix, concha and lobe, closed at the back; ``side`` as in ``eyeball``."""
    turn = np.linspace(0, 2 * np.pi, 33)
    radius = np.array([0.0, 0.16, 0.3, 0.42, 0.54, 0.66, 0.76, 0.85, 0.93, 1.0, 0.97, 0.85, 0.6])
    r, t = np.meshgrid(radius, turn, indexing="ij")
    along, up = r * np.cos(t), r * np.sin(t)  # along: towards the back of the head; up: towards the crown
    length = np.where(up > 0, 3.1, 3.0)
    width = np.where(along > 0, 1.75, 1.15) * (1 - 0.28 * smoothstep(-up, 0.2, 1.0))
    lift = 0.42 * bump(r, 0.92, 0.10) * smoothstep(-np.cos(t + 0.9), -1.0, 0.1 - 0.4)
    lift += 0.30 * bump(np.hypot(along - 0.12, up + 0.05), 0.50, 0.11) * smoothstep(along, -0.5, 0.1)
    lift -= 0.55 * bump(along, -0.05, 0.28) * bump(up, -0.12, 0.33)
    lift += 0.45 * bump(along, -0.62, 0.16) * bump(up, -0.12, 0.22)  # tragus
    lift += 0.12 * bump(up, -0.85, 0.25)
    index = np.arange(len(radius))[:, None] * np.ones_like(t)
    lift = np.where(index > 9, -0.35 - 0.12 * (index - 9), lift)
    out = np.deg2rad(27)  # angle between ear and head
    back = along * width
    x = 7.28 + lift * np.cos(out) + (back + 1.0) * np.sin(out) * 0.9
    z = 2.0 + (back + 0.2) * np.cos(out) - lift * np.sin(out) - 0.12 * up * length
    y = -0.35 - up * length
    shade = np.clip(1 - 0.55 * bump(along, 0.0, 0.3) * bump(up, -0.1, 0.32) - 0.25 * bump(r, 0.72, 0.09), 0.3, 1)
    shade = np.where(index > 9, 0.6, shade)
    uv = np.stack([0.5 + along * 0.48, 0.5 - up * 0.48], -1)
    return grid_mesh("ear", np.stack([side * x, y, z], -1), uv, shade, flip=side > 0)


def cloth_lining(garment: TexturedMesh, columns: int = 65) -> TexturedMesh:
    """The dark inside of the collar, from the first rows of ``garment`` (see ``clothes``)."""
    rows = slice(0, 6)
    points = garment.points.reshape(-1, columns, 3)[rows].copy()
    points[..., [0, 2]] = np.array([0.0, 4.0]) + (points[..., [0, 2]] - np.array([0.0, 4.0])) * 0.985
    shade = np.full(points.shape[:2], 0.30)
    return grid_mesh("cloth", points, garment.uv.reshape(-1, columns, 2)[rows], shade, flip=True)


def neck(identity: SpeakerIdentity) -> TexturedMesh:
    """The neck, from inside the head to below the collar."""
    angle = np.linspace(-np.pi, np.pi, 41)
    v = np.linspace(0, 1, 16)[:, None]
    width = 5.0 * identity.shape.jaw_width**1.5 - 0.25 * np.sin(np.pi * v) + 3.0 * smoothstep(v, 0.50, 1.0)
    depth = 5.0 + 0.9 * v
    center = 3.4 + 0.6 * v
    x, z = width * np.sin(angle)[None], center - depth * np.cos(angle)[None]
    y = 5.0 + 13.0 * v + 0 * angle[None]
    z = z - 0.25 * bump(x, 0.0, 0.8) * bump(v, 0.50, 0.08) * (np.cos(angle)[None] > 0)  # larynx
    z = z - 0.28 * bump(np.abs(x), 3.4 - 3.0 * v, 0.6) * smoothstep(v, 0.1, 0.4) * (np.cos(angle)[None] > 0)
    shade = 0.42 + 0.58 * smoothstep(v, 0.28, 0.62) * np.ones_like(angle)[None]
    uv = np.stack(np.broadcast_arrays((angle[None] / np.pi + 1) / 2, v), -1)
    return grid_mesh("neck", np.stack([x, y, z], -1), uv, shade)


def clothes(identity: SpeakerIdentity) -> TexturedMesh:
    """Shoulders and chest in a garment; the texture is projected from the front (u right, v down)."""
    angle = np.linspace(-np.pi, np.pi, 65)
    y = np.array([15.2, 14.9, 15.0, 15.6, 16.3, 17.2, 18.3, 19.8, 22, 25, 29, 34, 40]) - 1.6
    width = np.array([5.6, 5.8, 6.5, 8.6, 11.2, 14.2, 17.0, 19.2, 20.8, 21.6, 21.8, 21.6, 21.4])
    depth = np.array([5.5, 5.9, 6.4, 7.0, 7.7, 8.4, 9.1, 9.9, 10.6, 11.2, 11.5, 11.6, 11.6])
    cos, sin = np.cos(angle)[None], np.sin(angle)[None]
    x = width[:, None] * np.sign(sin) * np.abs(sin) ** 0.92
    z = 4.0 - depth[:, None] * cos
    opening = {"crew": 1.6, "vneck": 4.2, "shirt": 2.6}[identity.neckline]
    neckline = smoothstep(y[:, None], 22.4, 13.4) * np.clip(cos, 0, 1) ** (6 if identity.neckline == "vneck" else 2)
    yy = y[:, None] + opening * neckline
    z = z + 0.15 * np.sin(3.1 * x + 0.4 * yy) * smoothstep(yy, 17, 24)
    shade = np.broadcast_to(np.interp(y, [13.2, 13.7, 15.4, 40], [0.45, 0.9, 1.0, 0.85])[:, None], x.shape)
    shade = shade * np.where(np.arange(len(y))[:, None] == 0, 0.5, 1.0)
    uv = np.stack([np.clip(x / 48 + 0.5, 0, 1), np.clip((yy - 12.5) / 28, 0, 1)], -1)
    return grid_mesh("cloth", np.stack([x, yy, z], -1), uv, shade)
