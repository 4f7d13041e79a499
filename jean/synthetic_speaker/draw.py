"""Draws a speaker: camera projection, lighting, skin shading, hair compositing, mattes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.geometry import Camera
from jean.synthetic_speaker.meshes import vertex_normals
from jean.synthetic_speaker.pose_meshes import pose_meshes
from jean.synthetic_speaker.raster import Fragments, interpolate, rasterise
from jean.synthetic_speaker.speaker import KINDS, Speaker

SUPERSAMPLING = 2  # drawn pixels per image pixel and axis
# Per kind: diffuse wrap for R, G, B (light that reaches into the shadow); strength and exponent of the highlight.
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
# Directions towards the key, fill and rim lights, camera axes.
_KEY = np.array([-0.48, -0.62, -0.80])
_FILL = np.array([0.75, -0.10, -0.55])
_RIM = np.array([0.55, -0.45, 0.65])
# Kinds that belong to the head matte; the others belong to the torso matte.
_HEAD = np.array(
    [k in ("skin", "ear", "eye", "socket", "teeth", "tongue", "cavity", "lining", "hair", "lashes") for k in KINDS]
)


@dataclass(frozen=True)
class DrawnFrame:
    """One drawn frame.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        matte: uint8 [H, W, 2], opacity of the head with hair, and of neck and torso.
        skin: float64 [N, 3], vertices of the skin, head space, cm.
    """

    image: np.ndarray
    matte: np.ndarray
    skin: np.ndarray


def draw_frame(
    speaker: Speaker,
    controls: dict[str, float],
    head_to_camera: np.ndarray,
    body_to_camera: np.ndarray,
    camera: Camera,
    background: np.ndarray,
) -> DrawnFrame:
    """Draws one frame.

    Args:
        speaker: the speaker.
        controls: value per name of ``controls.CONTROLS``; missing ones are 0.
        head_to_camera: [4, 4], from head space to camera axes (OpenCV), cm.
        body_to_camera: [4, 4], the same transform for the body; it equals the head's for the resting pose.
        camera: of the finished image.
        background: float32 [s·H, s·W, 3], sRGB 0 to 255, s = ``SUPERSAMPLING``.
    """
    import cv2

    head_to_body = np.linalg.inv(head_to_camera) @ body_to_camera
    points, shade = pose_meshes(speaker, controls, head_to_body)
    view = points @ head_to_camera[:3, :3].T + head_to_camera[:3, 3]
    width, height = camera.width_px * SUPERSAMPLING, camera.height_px * SUPERSAMPLING
    focal = camera.focal_px * SUPERSAMPLING
    cx, cy = (c * SUPERSAMPLING for c in camera.center_px)
    screen = np.stack([view[:, 0] / view[:, 2] * focal + cx, view[:, 1] / view[:, 2] * focal + cy, view[:, 2]], -1)
    normal = vertex_normals(view, speaker.mesh, speaker.weld).astype(np.float32)
    light, highlight = vertex_light(normal, shade, speaker.vertex_kind)
    vertex_values = np.concatenate([speaker.uv, light, highlight[:, None]], 1)

    canvas = background.reshape(-1, 3) * np.float32(1 / 255)
    canvas *= canvas  # blend in roughly linear light (gamma 2)
    matte = np.zeros((width * height, 2), np.float32)
    opaque = rasterise(screen, speaker.triangles, width, height)
    values = interpolate(opaque, speaker.triangles, vertex_values)
    albedo, _ = _texture(speaker.atlas, values)
    kind = speaker.kind[opaque.triangle]
    canvas[opaque.pixels] = albedo * values[:, 2:5] + values[:, 5:6]
    eyes = np.flatnonzero(kind == KINDS.index("eye"))
    canvas[opaque.pixels[eyes]] += _catch_light(opaque.subset(eyes), speaker.triangles, normal, shade)
    matte[opaque.pixels] = np.where(_HEAD[kind][:, None], np.array([1, 0], np.float32), np.array([0, 1], np.float32))
    depth = np.full(width * height, np.inf, np.float32)
    depth[opaque.pixels] = opaque.depth
    hair = rasterise(screen, speaker.hair_triangles, width, height, depth)
    values = interpolate(hair, speaker.hair_triangles, vertex_values)
    albedo, alpha = _texture(speaker.atlas, values)
    strand = 0.25 * np.sqrt(albedo.mean(1, keepdims=True)) + 0.03
    tint = 0.5 + 0.5 * albedo / np.maximum(albedo.max(1, keepdims=True), np.float32(1e-3))
    colour = albedo * values[:, 2:5] + values[:, 5:6] * strand * tint
    canvas[hair.pixels] += alpha * (colour - canvas[hair.pixels])
    matte[hair.pixels] += alpha * (np.array([1, 0], np.float32) - matte[hair.pixels])

    rgb = cv2.resize(
        canvas.reshape(height, width, 3), (camera.width_px, camera.height_px), interpolation=cv2.INTER_AREA
    )
    image = np.sqrt(np.clip(rgb, 0, 1)) * 255 + 0.5
    opacity = cv2.resize(
        matte.reshape(height, width, 2), (camera.width_px, camera.height_px), interpolation=cv2.INTER_AREA
    )
    return DrawnFrame(image.astype(np.uint8), (opacity * 255 + 0.5).astype(np.uint8), points[: speaker.pieces[0].stop])


def vertex_light(normal: np.ndarray, shade: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Diffuse light, linear RGB float32 [N, 3], and specular highlight, float32 [N], per vertex.

    The highlight of hair is a band across the strands, which run down the surface (Kajiya and Kay, 1989).

    Args:
        normal: float32 [N, 3], unit, camera axes.
        shade: float32 [N], ambient occlusion, 1 is unoccluded.
        kind: int [N], index into ``KINDS``.
    """
    wrap = np.array([_MATERIAL[k][0] for k in KINDS], np.float32)[kind]
    gloss = np.array([_MATERIAL[k][1] for k in KINDS], np.float32)[kind]
    exponent = np.array([_MATERIAL[k][2] for k in KINDS], np.float32)[kind]
    key, fill, rim = (_unit(v) for v in (_KEY, _FILL, _RIM))
    half = _unit(key + np.array([0, 0, -1], np.float32))
    ambient = shade[:, None]
    diffuse = np.clip(((normal @ key)[:, None] + wrap) / (1 + wrap), 0, None) ** np.float32(1.25)
    light = 1.02 * diffuse * (0.35 + 0.65 * ambient) * np.array([1.0, 0.97, 0.93], np.float32)
    light += (np.clip((normal @ fill + 0.35) / 1.35, 0, None) * 0.22 * shade)[:, None] * np.array(
        [0.90, 0.96, 1.05], np.float32
    )
    light += (0.23 - 0.09 * normal[:, 1:2]) * ambient
    highlight = gloss * np.clip(normal @ half, 0, 1) ** exponent * shade
    edge = np.clip(1 + normal[:, 2], 0, 1) ** 3 * np.clip(normal @ rim + 0.3, 0, 1)
    highlight += 0.10 * edge * (kind != KINDS.index("cavity"))
    strands = np.flatnonzero(kind == KINDS.index("hair"))
    tangent = np.array([0, 1, 0], np.float32) - normal[strands] * normal[strands, 1:2]
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-3)
    along = tangent @ half
    highlight[strands] = np.clip(1 - along * along, 0, 1) ** 24 * shade[strands] + 2 * highlight[strands]
    return light.astype(np.float32), highlight.astype(np.float32)


def _unit(v: np.ndarray) -> np.ndarray:
    return (v / np.linalg.norm(v)).astype(np.float32)


def _texture(atlas: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Texture lookup at fragments.

    Args:
        atlas: uint8 [H, W, 4].
        values: float32 [F, C]; columns 0 and 1 are uv in px of the atlas.

    Returns:
        Linear colour [F, 3] and opacity [F, 1].
    """
    import cv2

    # cv2.remap takes at most 32767 rows, so reshape the list of fragments into an image.
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
    return texel[:, :3] * texel[:, :3], texel[:, 3:]


def _catch_light(eyes: Fragments, triangles: np.ndarray, normal: np.ndarray, shade: np.ndarray) -> np.ndarray:
    """The key light's reflection in the eyes, [F, 1], per pixel, as it is smaller than a triangle."""
    values = interpolate(eyes, triangles, np.concatenate([normal, shade[:, None]], 1))
    direction = values[:, :3] / np.maximum(np.linalg.norm(values[:, :3], axis=1, keepdims=True), 1e-6)
    # Nearer to the pupil than the true mirror direction, where the lids would hide it.
    toward = _unit(np.array([-0.17, -0.17, -0.97]))
    return (1.5 * np.clip(direction @ toward, 0, 1) ** 260 * np.clip(2 * values[:, 3], 0, 1))[:, None]
