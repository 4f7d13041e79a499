"""A person made ready to be drawn: all meshes in one vertex list, textures in one atlas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.synthetic_speaker import hair, paint, parts
from jean.synthetic_speaker.face import Face, build_face
from jean.synthetic_speaker.identity import Identity
from jean.synthetic_speaker.raster import normals
from jean.synthetic_speaker.skin_points import lid_rows
from jean.synthetic_speaker.surfaces import bump, smoothstep

ATLAS_PX = 1600


@dataclass(frozen=True)
class Piece:
    """Where one mesh lies in the common vertex list.

    Attributes:
        name: of the part; ``skin`` for the face.
        start, stop: rows of the vertex list.
        rest: float64 [n, 3], in the coordinates of ``shape.py``.
        motion: ``head``, ``jaw``, ``eye_right``, ``eye_left``, ``body``, ``neck``, ``skin`` or ``lashes``.
    """

    name: str
    start: int
    stop: int
    rest: np.ndarray
    motion: str


@dataclass(frozen=True)
class Speaker:
    """One person, ready to be drawn.

    Attributes:
        person: who.
        face: skin and its movements.
        pieces: all meshes, the skin first.
        triangles: int [M, 3] of the opaque meshes; hair_triangles: of hair and lashes.
        mesh: both together, in the order of the pieces (normals need the hidden ones too).
        kind: int [M], index into ``KINDS`` of each opaque triangle; vertex_kind: int [N], of each vertex.
        uv: float32 [N, 2] in px of the atlas. shade: float32 [N]. weld: int [N].
        atlas: uint8 [H, W, 4].
    """

    person: Identity
    face: Face
    pieces: tuple[Piece, ...]
    triangles: np.ndarray
    kind: np.ndarray
    hair_triangles: np.ndarray
    mesh: np.ndarray
    vertex_kind: np.ndarray
    uv: np.ndarray
    shade: np.ndarray
    weld: np.ndarray
    atlas: np.ndarray


KINDS = ("skin", "ear", "neck", "eye", "socket", "teeth", "tongue", "cavity", "cloth", "lining", "hair", "lashes")


def build_speaker(person: Identity) -> Speaker:
    """Builds meshes and paints textures of ``person`` (about half a second)."""
    face = build_face(person.shape)
    rest = face.skin.points
    seen = face.skin.triangles[~_under_hair(rest[face.skin.triangles].mean(1), person)]
    skin_part = parts.Part("skin", rest, seen, paint.skin_uv(rest), _skin_shade(rest), face.skin.weld)
    scalp, outward, angle = _scalp(face)
    shell = hair.hair(person, scalp, outward, angle)
    garment = parts.clothes(person)
    meshes = [
        (skin_part, "skin"),
        (parts.ear(-1), "head"),
        (parts.ear(1), "head"),
        (parts.neck(person), "neck"),
        (parts.eyeball(-1), "eye_right"),
        (parts.eyeball(1), "eye_left"),
        (parts.socket(-1), "head"),
        (parts.socket(1), "head"),
        (parts.teeth(True), "head"),
        (parts.teeth(False), "jaw"),
        (parts.tongue(), "tongue"),
        (parts.cavity(), "head"),
        (garment, "body"),
        (parts.cloth_lining(garment), "body"),
        (shell, "hair"),
        (_lash_part(face, -1), "lash_right"),
        (_lash_part(face, 1), "lash_left"),
    ]
    meshes.append((hair.hair_lining(shell), "hair"))
    atlas, boxes = _atlas(person)
    pieces, triangles, kinds, uv, shade, weld = [], [], [], [], [], []
    start = 0
    for part, motion in meshes:
        count = len(part.points)
        pieces.append(Piece(part.name, start, start + count, part.points, motion))
        triangles.append(part.triangles + start)
        kinds.append(np.full(len(part.triangles), KINDS.index(part.name)))
        left, top, width, height = boxes[part.name]
        uv.append(np.array([left, top]) + 0.5 + np.clip(part.uv, 0, 1) * [width - 1, height - 1] - 0.5)
        shade.append(part.shade)
        weld.append(part.weld + start)
        start += count
    opaque = [k for k, (part, _) in enumerate(meshes) if part.name not in ("hair", "lashes")]
    loose = [k for k in range(len(meshes)) if k not in opaque]
    return Speaker(
        person,
        face,
        tuple(pieces),
        np.concatenate([triangles[k] for k in opaque]),
        np.concatenate([kinds[k] for k in opaque]),
        np.concatenate([triangles[k] for k in loose]),
        np.concatenate(triangles),
        np.concatenate([np.full(len(part.points), KINDS.index(part.name)) for part, _ in meshes]),
        np.concatenate(uv).astype(np.float32),
        np.concatenate(shade).astype(np.float32),
        np.concatenate(weld),
        atlas,
    )


def _skin_shade(p: np.ndarray) -> np.ndarray:
    """Painted ambient occlusion of the skin: sockets, beside and under the nose, under the lip and jaw."""
    ax, y = np.abs(p[:, 0]), p[:, 1]
    front = smoothstep(p[:, 2], 1.0, -2.0)
    dark = 0.32 * bump(ax, 2.3, 0.9) * bump(y, -3.3, 0.6) + 0.22 * bump(ax, 1.75, 0.35) * bump(y, 1.2, 0.8)
    dark += 0.45 * bump(ax, 0.5, 0.8) * bump(y, 2.15, 0.25) + 0.18 * bump(p[:, 0], 0, 1.3) * bump(y, 5.75, 0.4)
    dark += 0.6 * smoothstep(y - 9.4 - 0.1 * p[:, 2], 0.0, 0.3)
    return 1 - np.clip(dark * front, 0, 0.8)


def _under_hair(p: np.ndarray, person: Identity) -> np.ndarray:
    """Which points of the head lie so deep under the hair that nobody sees them."""
    degrees = np.abs(np.rad2deg(np.arctan2(p[:, 0], -(p[:, 2] - 3.0))))
    roots = np.interp(degrees, hair.HAIRLINE_DEGREES, hair.hairline(person.hair_style, end=False))
    return p[:, 1] < roots - 3.4


def _scalp(face: Face) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The head as one grid from the crown to the jaw: points, outward normals, angle of each column."""
    skin = face.skin
    normal = normals(skin.points, skin.triangles, skin.weld)
    grid = np.concatenate([skin.strips[0], skin.strips[1][5:-6:4], skin.strips[2][8::4]])
    points = skin.points[grid]
    row = skin.points[skin.strips[0][8]]
    angle = np.arctan2(row[:, 0], -(row[:, 2] - 3.0))
    angle[0] = -np.pi
    # a column's heights must rise for the interpolation along it
    points[..., 1] = np.maximum.accumulate(points[..., 1], axis=0) + 1e-6 * np.arange(len(grid))[:, None]
    return points, normal[grid], angle


def _lash_part(face: Face, side: int) -> parts.Part:
    """Upper lashes; their rest points are rebuilt for each frame, only the grid matters here."""
    columns = lash_columns(face, side)
    count = len(columns)
    u = np.linspace(0, 1, count)
    grid = np.arange(2 * count).reshape(2, count)
    points = np.repeat(face.skin.points[columns][None], 2, 0).reshape(-1, 3)
    uv = np.stack([np.tile(u, 2), np.repeat([0.0, 1.0], count)], -1)
    from jean.synthetic_speaker.surfaces import grid_triangles

    both = np.concatenate([grid_triangles(grid), grid_triangles(grid, flip=True)])
    return parts.Part("lashes", points, both, uv, np.ones(2 * count), np.arange(2 * count))


def lash_columns(face: Face, side: int) -> np.ndarray:
    """Vertices of the upper lid's margin from inner to outer corner."""
    row = lid_rows(face.skin)[0]
    x = face.skin.points[row, 0] * side
    keep = row[(x > 2.0) & (x < 4.6) & (face.skin.points[row, 2] < 0)]
    return keep[np.argsort(np.abs(face.skin.points[keep, 0]))]


def _atlas(person: Identity) -> tuple[np.ndarray, dict[str, tuple[int, int, int, int]]]:
    """All textures in one image, RGBA, and where each lies (left, top, width, height)."""
    plain = np.full((16, 16, 3), 255, np.uint8)
    skin = np.array(person.skin)
    images = {
        "skin": paint.paint_skin(person),
        "hair": paint.paint_hair(person),
        "cloth": paint.paint_cloth(person),
        "eye": paint.paint_eye(person),
        "teeth": paint.paint_teeth(),
        "lashes": paint.paint_lashes(person),
        "ear": (plain * (skin * [1.0, 0.86, 0.83] / 255)).astype(np.uint8),
        "socket": (plain * np.array([0.62, 0.36, 0.34])).astype(np.uint8),
        "lining": (plain * (np.array(person.hair) / 255)).astype(np.uint8),
        "neck": (plain * (skin * [0.98, 0.95, 0.94] / 255)).astype(np.uint8),
        "tongue": (plain * np.array([0.72, 0.36, 0.36])).astype(np.uint8),
        "cavity": (plain * np.array([0.24, 0.09, 0.09])).astype(np.uint8),
    }
    atlas = np.zeros((ATLAS_PX // 2, ATLAS_PX + 256, 4), np.uint8)
    boxes = {}
    left, top, next_left = 0, 0, 0
    for name in (
        "skin",
        "hair",
        "cloth",
        "eye",
        "teeth",
        "lashes",
        "ear",
        "lining",
        "socket",
        "neck",
        "tongue",
        "cavity",
    ):
        image = images[name]
        h, w = image.shape[:2]
        if top + h > atlas.shape[0] or name == "hair":
            left, top = next_left, 0
        boxes[name] = (left, top, w, h)
        atlas[top : top + h, left : left + w, :3] = image[..., :3]
        atlas[top : top + h, left : left + w, 3] = image[..., 3] if image.shape[2] == 4 else 255
        next_left = max(next_left, left + w)
        top += h
    return atlas, boxes
