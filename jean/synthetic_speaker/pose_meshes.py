"""Poses all meshes of a speaker for one frame: skin, jaw, tongue, eyes, lashes, hair, body."""

from __future__ import annotations

import numpy as np

from jean.synthetic_speaker.face_rig import FaceRig, deform_skin, lid_rows, rotate_jaw
from jean.synthetic_speaker.head_shape import EYE_CENTER
from jean.synthetic_speaker.meshes import smoothstep
from jean.synthetic_speaker.speaker import Speaker, lash_columns

LASH_CM = 0.26  # mean length of the lashes
GAZE_RANGE_RAD = 0.45  # rotation of the eyes at gaze_x or gaze_y = 1


def pose_meshes(
    speaker: Speaker, controls: dict[str, float], head_to_body: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of all meshes for given control values and head pose.

    Args:
        speaker: the speaker.
        controls: values of ``controls.CONTROLS``.
        head_to_body: [4, 4], pose of the body in head space; the unit matrix for the resting head.

    Returns:
        Vertices, float64 [N, 3], head space, cm; and their ambient occlusion, float32 [N].
    """
    rig = speaker.rig
    points = np.empty((len(speaker.uv), 3))
    shade = speaker.shade.copy()
    skin = deform_skin(rig, controls)
    jaw = controls.get("jaw_open", 0.0)
    for piece in speaker.pieces:
        neutral, rows = piece.neutral, slice(piece.start, piece.stop)
        if piece.motion == "skin":
            points[rows] = skin
            continue
        if piece.motion.startswith("lash"):
            points[rows] = _lashes(rig, skin, -1 if piece.motion == "lash_right" else 1, controls)
            continue
        if piece.motion.startswith("eye"):
            side = -1 if piece.motion == "eye_right" else 1
            neutral = _turn_eye(neutral, side, controls)
        elif piece.motion == "tongue":
            neutral = neutral.copy()
            up = controls.get("tongue_up", 0.0) * smoothstep(neutral[:, 2], -2.2, -4.2)
            neutral[:, 1] -= 0.75 * up
            neutral[:, 2] -= 0.25 * up
            neutral = rotate_jaw(neutral, np.full(len(neutral), 0.92), jaw)
        elif piece.motion == "jaw":
            neutral = rotate_jaw(neutral, np.ones(len(neutral)), jaw)
        p = neutral * rig.scale + rig.offset
        if piece.motion in ("body", "neck"):
            q = p @ head_to_body[:3, :3].T + head_to_body[:3, 3]
            weight = 1.0 if piece.motion == "body" else smoothstep(p[:, 1], 6.5, 15.0)[:, None]
            p = p + weight * (q - p)
        elif piece.motion == "hair":
            q = p @ head_to_body[:3, :3].T + head_to_body[:3, 3]
            p = p + 0.6 * smoothstep(p[:, 1], 6.0, 15.0)[:, None] * (q - p)
        points[rows] = p
    for piece in speaker.pieces:
        if piece.name == "eye":
            shade[piece.start : piece.stop] = _eye_shade(rig, skin, points[piece.start : piece.stop])
    return points, shade


def _turn_eye(neutral: np.ndarray, side: int, controls: dict[str, float]) -> np.ndarray:
    """Rotates an eyeball by the gaze controls; ``side`` as in ``body_parts.eyeball``."""
    center = np.array([side * EYE_CENTER[0], EYE_CENTER[1], EYE_CENTER[2]])
    yaw = controls.get("gaze_x", 0.0) * GAZE_RANGE_RAD
    pitch = controls.get("gaze_y", 0.0) * GAZE_RANGE_RAD
    return (neutral - center) @ gaze_rotation(yaw, pitch).T + center


def gaze_rotation(yaw: float, pitch: float) -> np.ndarray:
    """Rotation [3, 3] of an eye that looks along -z: by ``yaw`` to the image's right, by ``pitch`` down, rad."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return about_y @ about_x


def _eye_shade(rig: FaceRig, skin: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """Ambient occlusion [N] of an eyeball: the shadow of the lids."""
    side = 1 if eye[:, 0].mean() > 0 else -1
    upper, lower = lid_rows(rig.skin)
    front = (side * rig.skin.points[upper, 0] > 1.4) & (side * rig.skin.points[upper, 0] < 5.0)
    front &= rig.skin.points[upper, 2] < 0
    order = np.argsort(skin[upper[front], 0])
    x = skin[upper[front], 0][order]
    lid = np.interp(eye[:, 0], x, skin[upper[front], 1][order])
    low = np.interp(eye[:, 0], x, skin[lower[front], 1][order])
    shade = 0.42 + 0.58 * smoothstep(eye[:, 1] - lid, -0.05, 0.42)
    return shade * (0.80 + 0.20 * smoothstep(low - eye[:, 1], -0.05, 0.15))


def _lashes(rig: FaceRig, skin: np.ndarray, side: int, controls: dict[str, float]) -> np.ndarray:
    """Points of the upper lashes, roots first; they turn down as the eye closes."""
    root = skin[lash_columns(rig, side)]
    closed = controls.get("blink_right" if side < 0 else "blink_left", 0.0)
    fan = np.linspace(-0.25, 1.0, len(root))
    length = LASH_CM * np.interp(np.linspace(0, 1, len(root)), [0, 0.15, 0.7, 1], [0.4, 0.8, 1.15, 1.0])
    direction = np.stack([side * 0.45 * fan, np.full(len(root), -0.45 + 0.95 * closed), np.full(len(root), -0.75)], -1)
    lifted = root + np.array([0, 0, -0.03])
    return np.concatenate([lifted, lifted + length[:, None] * direction])
