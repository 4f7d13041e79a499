"""Draws a speaker: camera, light, skin shading, hair over skin, mattes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.geometry import Camera
from jean.synthetic_speaker.pose_meshes import place
from jean.synthetic_speaker.raster import Fragments, interpolate, normals, rasterise
from jean.synthetic_speaker.speaker import KINDS, Speaker

SUPERSAMPLING = 2
# kind: (wrap of the light into the shadow for R, G, B; strength and sharpness of the highlight)
_MATERIAL = {
    "skin": ((0.42, 0.24, 0.16), 0.060, 14),
    "ear": ((0.65, 0.30, 0.20), 0.03, 12),
    "neck": ((0.42, 0.24, 0.16), 0.03, 12),
    "eye": ((0.35, 0.33, 0.33), 0.0, 8),
    "socket": ((0.4, 0.2, 0.2), 0.05, 20),
    "teeth": ((0.4, 0.4, 0.4), 0.25, 40),
    "tongue": ((0.4, 0.2, 0.2), 0.18, 30),
    "cavity": ((0.0, 0.0, 0.0), 0.0, 8),
    "cloth": ((0.15, 0.15, 0.15), 0.01, 8),
    "lining": ((0.30, 0.28, 0.25), 0.0, 8),
    "hair": ((0.30, 0.28, 0.25), 0.0, 8),
    "lashes": ((0.3, 0.3, 0.3), 0.0, 8),
}
_KEY = np.array([-0.48, -0.62, -0.80])  # towards the lights, camera axes
_FILL = np.array([0.75, -0.10, -0.55])
_RIM = np.array([0.55, -0.45, 0.65])
_HEAD = np.array(
    [k in ("skin", "ear", "eye", "socket", "teeth", "tongue", "cavity", "lining", "hair", "lashes") for k in KINDS]
)


@dataclass(frozen=True)
class Picture:
    """One drawn frame.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        matte: uint8 [H, W, 2], opacity of the head with hair, and of neck and torso.
        skin: float64 [N, 3], vertices of the face's skin, head space, cm.
    """

    image: np.ndarray
    matte: np.ndarray
    skin: np.ndarray


def draw(
    speaker: Speaker,
    controls: dict[str, float],
    head_to_camera: np.ndarray,
    body_to_camera: np.ndarray,
    camera: Camera,
    background: np.ndarray,
) -> Picture:
    """Draws one frame.

    Args:
        speaker: who.
        controls: values of ``controls.CONTROLS``.
        head_to_camera: [4, 4], from head space to camera axes (OpenCV), cm.
        body_to_camera: [4, 4], the same for a body that has the head at rest on it.
        camera: of the finished image.
        background: float32 [s·H, s·W, 3], sRGB 0 to 255, s = ``SUPERSAMPLING``.
    """
    import cv2

    head_to_body = np.linalg.inv(head_to_camera) @ body_to_camera
    points, shade = place(speaker, controls, head_to_body)
    view = points @ head_to_camera[:3, :3].T + head_to_camera[:3, 3]
    width, height = camera.width_px * SUPERSAMPLING, camera.height_px * SUPERSAMPLING
    focal = camera.focal_px * SUPERSAMPLING
    cx, cy = (c * SUPERSAMPLING for c in camera.center_px)
    screen = np.stack([view[:, 0] / view[:, 2] * focal + cx, view[:, 1] / view[:, 2] * focal + cy, view[:, 2]], -1)
    normal = normals(view, speaker.mesh, speaker.weld).astype(np.float32)
    light, shine = vertex_light(normal, shade, speaker.vertex_kind)
    values = np.concatenate([speaker.uv, light, shine[:, None]], 1)

    canvas = background.reshape(-1, 3) * np.float32(1 / 255)
    canvas *= canvas  # light adds up in a roughly linear space
    matte = np.zeros((width * height, 2), np.float32)
    opaque = rasterise(screen, speaker.triangles, width, height)
    albedo, _, lit = _surface(speaker.atlas, interpolate(opaque, speaker.triangles, values))
    kind = speaker.kind[opaque.triangle]
    canvas[opaque.pixels] = albedo * lit[:, 2:5] + lit[:, 5:6]
    eyes = np.flatnonzero(kind == KINDS.index("eye"))
    canvas[opaque.pixels[eyes]] += _catch_light(opaque.part(eyes), speaker.triangles, normal, shade)
    matte[opaque.pixels] = np.where(_HEAD[kind][:, None], np.array([1, 0], np.float32), np.array([0, 1], np.float32))
    depth = np.full(width * height, np.inf, np.float32)
    depth[opaque.pixels] = opaque.depth
    over = rasterise(screen, speaker.hair_triangles, width, height, depth)
    albedo, alpha, lit = _surface(speaker.atlas, interpolate(over, speaker.hair_triangles, values))
    strand = 0.25 * np.sqrt(albedo.mean(1, keepdims=True)) + 0.03
    tint = 0.5 + 0.5 * albedo / np.maximum(albedo.max(1, keepdims=True), np.float32(1e-3))
    colour = albedo * lit[:, 2:5] + lit[:, 5:6] * strand * tint
    canvas[over.pixels] += alpha * (colour - canvas[over.pixels])
    matte[over.pixels] += alpha * (np.array([1, 0], np.float32) - matte[over.pixels])

    small = cv2.resize(
        canvas.reshape(height, width, 3), (camera.width_px, camera.height_px), interpolation=cv2.INTER_AREA
    )
    image = np.sqrt(np.clip(small, 0, 1)) * 255 + 0.5
    soft = cv2.resize(
        matte.reshape(height, width, 2), (camera.width_px, camera.height_px), interpolation=cv2.INTER_AREA
    )
    return Picture(image.astype(np.uint8), (soft * 255 + 0.5).astype(np.uint8), points[: speaker.pieces[0].stop])


def vertex_light(normal: np.ndarray, shade: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Light on the vertices: linear RGB float32 [N, 3], and shine [N] that the surface's colour does not tint.

    For hair the shine is the band across its strands, which run downwards over the surface.

    Args:
        normal: float32 [N, 3], unit, camera axes.
        shade: float32 [N], ambient occlusion, 1 is open.
        kind: int [N], index into ``KINDS``.
    """
    wrap = np.array([_MATERIAL[k][0] for k in KINDS], np.float32)[kind]
    gloss = np.array([_MATERIAL[k][1] for k in KINDS], np.float32)[kind]
    sharp = np.array([_MATERIAL[k][2] for k in KINDS], np.float32)[kind]
    key, fill, rim = (_unit(v) for v in (_KEY, _FILL, _RIM))
    half = _unit(key + np.array([0, 0, -1], np.float32))
    open_sky = shade[:, None]
    diffuse = np.clip(((normal @ key)[:, None] + wrap) / (1 + wrap), 0, None) ** np.float32(1.25)
    light = 1.02 * diffuse * (0.35 + 0.65 * open_sky) * np.array([1.0, 0.97, 0.93], np.float32)
    light += (np.clip((normal @ fill + 0.35) / 1.35, 0, None) * 0.22 * shade)[:, None] * np.array(
        [0.90, 0.96, 1.05], np.float32
    )
    light += (0.23 - 0.09 * normal[:, 1:2]) * open_sky
    shine = gloss * np.clip(normal @ half, 0, 1) ** sharp * shade
    edge = np.clip(1 + normal[:, 2], 0, 1) ** 3 * np.clip(normal @ rim + 0.3, 0, 1)
    shine += 0.10 * edge * (kind != KINDS.index("cavity"))
    hair = np.flatnonzero(kind == KINDS.index("hair"))
    tangent = np.array([0, 1, 0], np.float32) - normal[hair] * normal[hair, 1:2]
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-3)
    along = tangent @ half
    shine[hair] = np.clip(1 - along * along, 0, 1) ** 24 * shade[hair] + 2 * shine[hair]
    return light.astype(np.float32), shine.astype(np.float32)


def _unit(v: np.ndarray) -> np.ndarray:
    return (v / np.linalg.norm(v)).astype(np.float32)


def _surface(atlas: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Linear colour [F, 3] and opacity [F, 1] of the texture at fragments, and their values as given."""
    import cv2

    # OpenCV's remap takes at most 32767 rows: fold the list of fragments into a wider picture
    count = len(values)
    table = np.zeros((-(-count // 1024) * 1024, 2), np.float32)
    table[:count] = values[:, :2]
    folded = table.reshape(-1, 1024, 2)
    texel = (
        cv2.remap(atlas, folded[..., 0], folded[..., 1], cv2.INTER_LINEAR).reshape(-1, 4)[:count]
        if count
        else atlas[:0, 0]
    )
    texel = texel.astype(np.float32) * np.float32(1 / 255)
    return texel[:, :3] * texel[:, :3], texel[:, 3:], values


def _catch_light(eyes: Fragments, triangles: np.ndarray, normal: np.ndarray, shade: np.ndarray) -> np.ndarray:
    """The reflection of the key light in the eyes, computed at each pixel because it is so small: [F, 1]."""
    values = interpolate(eyes, triangles, np.concatenate([normal, shade[:, None]], 1))
    direction = values[:, :3] / np.maximum(np.linalg.norm(values[:, :3], axis=1, keepdims=True), 1e-6)
    # a little nearer to the pupil than the mirror image of the lamp, where the lids do not hide it
    toward = _unit(np.array([-0.17, -0.17, -0.97]))
    return (1.5 * np.clip(direction @ toward, 0, 1) ** 260 * np.clip(2 * values[:, 3], 0, 1))[:, None]
