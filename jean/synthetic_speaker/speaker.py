"""A person ready for drawing: all meshes in one vertex list, all textures in one atlas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.synthetic_speaker import body_parts, hair, textures
from jean.synthetic_speaker.face_rig import FaceRig, build_face_rig, lid_rows
from jean.synthetic_speaker.meshes import TexturedMesh, bump, grid_triangles, smoothstep, vertex_normals
from jean.synthetic_speaker.speaker_identity import SpeakerIdentity

ATLAS_PX = 1600  # twice the height of the texture atlas
# Textures and materials; the order fixes the numbers in ``Speaker.kind``.
KINDS = ("skin", "ear", "neck", "eye", "socket", "teeth", "tongue", "cavity", "cloth", "lining", "hair", "lashes")


@dataclass(frozen=True)
class MeshPiece:
    """One mesh's range in the common vertex list.

    Attributes:
        name: one of ``KINDS``.
        start, stop: first and past-the-last row of the vertex list.
        neutral: float64 [n, 3], neutral points in the coordinates of ``head_shape.py``.
        motion: what moves it: ``head``, ``jaw``, ``tongue``, ``eye_right``, ``eye_left``, ``lash_right``,
            ``lash_left``, ``hair``, ``body``, ``neck`` or ``skin``.
    """

    name: str
    start: int
    stop: int
    neutral: np.ndarray
    motion: str


@dataclass(frozen=True)
class Speaker:
    """One person, ready for drawing.

    Attributes:
        identity: appearance and voice.
        rig: skin and controls.
        pieces: all meshes, the skin first.
        triangles: int [M, 3], of the opaque meshes.
        kind: int [M], index into ``KINDS`` per opaque triangle.
        hair_triangles: int [K, 3], of hair and lashes, which are partly transparent.
        mesh: int [M + K, 3], all triangles in the order of ``pieces``, for the normals.
        vertex_kind: int [N], index into ``KINDS`` per vertex.
        uv: float32 [N, 2], px of the atlas.
        shade: float32 [N], ambient occlusion, 1 is unoccluded.
        weld: int [N], see ``meshes.vertex_normals``.
        atlas: uint8 [H, W, 4], all textures, RGBA.
    """

    identity: SpeakerIdentity
    rig: FaceRig
    pieces: tuple[MeshPiece, ...]
    triangles: np.ndarray
    kind: np.ndarray
    hair_triangles: np.ndarray
    mesh: np.ndarray
    vertex_kind: np.ndarray
    uv: np.ndarray
    shade: np.ndarray
    weld: np.ndarray
    atlas: np.ndarray


def build_speaker(identity: SpeakerIdentity) -> Speaker:
    """Builds a person's meshes and textures (about half a second)."""
    rig = build_face_rig(identity.shape)
    neutral = rig.skin.points
    visible = rig.skin.triangles[~_under_hair(neutral[rig.skin.triangles].mean(1), identity)]
    skin = TexturedMesh("skin", neutral, visible, textures.skin_uv(neutral), _skin_shade(neutral), rig.skin.weld)
    scalp, outward, angle = _scalp(rig)
    shell = hair.hair_shell(identity, scalp, outward, angle)
    garment = body_parts.clothes(identity)
    meshes = [
        (skin, "skin"),
        (body_parts.ear(-1), "head"),
        (body_parts.ear(1), "head"),
        (body_parts.neck(identity), "neck"),
        (body_parts.eyeball(-1), "eye_right"),
        (body_parts.eyeball(1), "eye_left"),
        (body_parts.socket(-1), "head"),
        (body_parts.socket(1), "head"),
        (body_parts.teeth(True), "head"),
        (body_parts.teeth(False), "jaw"),
        (body_parts.tongue(), "tongue"),
        (body_parts.cavity(), "head"),
        (garment, "body"),
        (body_parts.cloth_lining(garment), "body"),
        (shell, "hair"),
        (_lash_mesh(rig, -1), "lash_right"),
        (_lash_mesh(rig, 1), "lash_left"),
        (hair.hair_lining(shell), "hair"),
    ]
    atlas, boxes = _atlas(identity)
    pieces, triangles, kinds, uv, shade, weld = [], [], [], [], [], []
    start = 0
    for part, motion in meshes:
        count = len(part.points)
        pieces.append(MeshPiece(part.name, start, start + count, part.points, motion))
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
        identity,
        rig,
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
    """Ambient occlusion [N] of the skin: darker in the sockets, around the nose, below lip and jaw."""
    ax, y = np.abs(p[:, 0]), p[:, 1]
    front = smoothstep(p[:, 2], 1.0, -2.0)
    dark = 0.32 * bump(ax, 2.3, 0.9) * bump(y, -3.3, 0.6) + 0.22 * bump(ax, 1.75, 0.35) * bump(y, 1.2, 0.8)
    dark += 0.45 * bump(ax, 0.5, 0.8) * bump(y, 2.15, 0.25) + 0.18 * bump(p[:, 0], 0, 1.3) * bump(y, 5.75, 0.4)
    dark += 0.6 * smoothstep(y - 9.4 - 0.1 * p[:, 2], 0.0, 0.3)
    return 1 - np.clip(dark * front, 0, 0.8)


def _under_hair(p: np.ndarray, identity: SpeakerIdentity) -> np.ndarray:
    """Mask [M] of head points [M, 3] that the hair always covers."""
    degrees = np.abs(np.rad2deg(np.arctan2(p[:, 0], -(p[:, 2] - 3.0))))
    roots = np.interp(degrees, hair.HAIRLINE_DEGREES, hair.hairline_heights(identity.hair_style, end=False))
    return p[:, 1] < roots - 3.4


def _scalp(rig: FaceRig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grid over the head from crown to jaw: points and unit normals [rows, columns, 3], angle per column."""
    skin = rig.skin
    normal = vertex_normals(skin.points, skin.triangles, skin.weld)
    grid = np.concatenate([skin.strips[0], skin.strips[1][5:-6:4], skin.strips[2][8::4]])
    points = skin.points[grid]
    row = skin.points[skin.strips[0][8]]
    angle = np.arctan2(row[:, 0], -(row[:, 2] - 3.0))
    angle[0] = -np.pi
    # The hair interpolates along columns, which needs increasing heights.
    points[..., 1] = np.maximum.accumulate(points[..., 1], axis=0) + 1e-6 * np.arange(len(grid))[:, None]
    return points, normal[grid], angle


def _lash_mesh(rig: FaceRig, side: int) -> TexturedMesh:
    """Topology of the upper lashes; ``pose_meshes`` computes their points per frame."""
    columns = lash_columns(rig, side)
    count = len(columns)
    u = np.linspace(0, 1, count)
    grid = np.arange(2 * count).reshape(2, count)
    points = np.repeat(rig.skin.points[columns][None], 2, 0).reshape(-1, 3)
    uv = np.stack([np.tile(u, 2), np.repeat([0.0, 1.0], count)], -1)
    both = np.concatenate([grid_triangles(grid), grid_triangles(grid, flip=True)])
    return TexturedMesh("lashes", points, both, uv, np.ones(2 * count), np.arange(2 * count))


def lash_columns(rig: FaceRig, side: int) -> np.ndarray:
    """Vertex numbers of the upper lid's margin, from the inner to the outer corner of one eye."""
    row = lid_rows(rig.skin)[0]
    x = rig.skin.points[row, 0] * side
    margin = row[(x > 2.0) & (x < 4.6) & (rig.skin.points[row, 2] < 0)]
    return margin[np.argsort(np.abs(rig.skin.points[margin, 0]))]


def _atlas(identity: SpeakerIdentity) -> tuple[np.ndarray, dict[str, tuple[int, int, int, int]]]:
    """The texture atlas, uint8 [H, W, 4], and the box (left, top, width, height) of each texture in it, px."""
    plain = np.full((16, 16, 3), 255, np.uint8)
    skin = np.array(identity.skin)
    images = {
        "skin": textures.skin_texture(identity),
        "hair": textures.hair_texture(identity),
        "cloth": textures.cloth_texture(identity),
        "eye": textures.eye_texture(identity),
        "teeth": textures.teeth_texture(),
        "lashes": textures.lashes_texture(identity),
        "ear": (plain * (skin * [1.0, 0.86, 0.83] / 255)).astype(np.uint8),
        "socket": (plain * np.array([0.62, 0.36, 0.34])).astype(np.uint8),
        "lining": (plain * (np.array(identity.hair) / 255)).astype(np.uint8),
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
