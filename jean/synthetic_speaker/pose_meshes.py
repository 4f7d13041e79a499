"""Moves all meshes of a speaker for one frame: skin, jaw, tongue, eyes, lashes, hair, body."""

from __future__ import annotations

import numpy as np

from jean.synthetic_speaker.face import Face, move, turn_jaw
from jean.synthetic_speaker.shape import EYE_CENTER
from jean.synthetic_speaker.skin_points import lid_rows
from jean.synthetic_speaker.speaker import Speaker, lash_columns
from jean.synthetic_speaker.surfaces import smoothstep

LASH_CM = 0.26
GAZE_RANGE_RAD = 0.45  # turn of the eyes at gaze 1  # turn of the eyes at gaze 1


def place(speaker: Speaker, controls: dict[str, float], head_to_body: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moves every mesh.

    Args:
        speaker: who.
        controls: values of ``controls.CONTROLS``.
        head_to_body: [4, 4]; where the body is in head space (the identity when the head is at rest).

    Returns:
        Vertices float64 [N, 3] in head space (cm) and their shade float32 [N].
    """
    face = speaker.face
    points = np.empty((len(speaker.uv), 3))
    shade = speaker.shade.copy()
    skin = move(face, controls)
    jaw = controls.get("jaw_open", 0.0)
    for piece in speaker.pieces:
        rest, where = piece.rest, slice(piece.start, piece.stop)
        if piece.motion == "skin":
            points[where] = skin
            continue
        if piece.motion.startswith("lash"):
            points[where] = _lashes(face, skin, -1 if piece.motion == "lash_right" else 1, controls)
            continue
        if piece.motion.startswith("eye"):
            side = -1 if piece.motion == "eye_right" else 1
            rest = _turn_eye(rest, side, controls)
        elif piece.motion == "tongue":
            rest = rest.copy()
            up = controls.get("tongue_up", 0.0) * smoothstep(rest[:, 2], -2.2, -4.2)
            rest[:, 1] -= 0.75 * up
            rest[:, 2] -= 0.25 * up
            rest = turn_jaw(rest, np.full(len(rest), 0.92), jaw)
        elif piece.motion == "jaw":
            rest = turn_jaw(rest, np.ones(len(rest)), jaw)
        p = rest * face.scale + face.offset
        if piece.motion in ("body", "neck"):
            q = p @ head_to_body[:3, :3].T + head_to_body[:3, 3]
            with_body = 1.0 if piece.motion == "body" else smoothstep(p[:, 1], 6.5, 15.0)[:, None]
            p = p + with_body * (q - p)
        elif piece.motion == "hair":
            q = p @ head_to_body[:3, :3].T + head_to_body[:3, 3]
            p = p + 0.6 * smoothstep(p[:, 1], 6.0, 15.0)[:, None] * (q - p)
        points[where] = p
    for piece in speaker.pieces:
        if piece.name == "eye":
            shade[piece.start : piece.stop] = _eye_shade(face, skin, points[piece.start : piece.stop])
    return points, shade


def _turn_eye(rest: np.ndarray, side: int, controls: dict[str, float]) -> np.ndarray:
    center = np.array([side * EYE_CENTER[0], EYE_CENTER[1], EYE_CENTER[2]])
    yaw = controls.get("gaze_x", 0.0) * GAZE_RANGE_RAD
    pitch = controls.get("gaze_y", 0.0) * GAZE_RANGE_RAD
    return (rest - center) @ gaze_rotation(yaw, pitch).T + center


def gaze_rotation(yaw: float, pitch: float) -> np.ndarray:
    """Turns an eye that looks along -z to the image's right by ``yaw`` and down by ``pitch``, radians."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return about_y @ about_x


def _eye_shade(face: Face, skin: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """The shadow of the upper lid and the dimness of the corners on an eyeball."""
    side = 1 if eye[:, 0].mean() > 0 else -1
    upper, lower = lid_rows(face.skin)
    keep = (side * face.skin.points[upper, 0] > 1.4) & (side * face.skin.points[upper, 0] < 5.0)
    keep &= face.skin.points[upper, 2] < 0
    order = np.argsort(skin[upper[keep], 0])
    x = skin[upper[keep], 0][order]
    lid = np.interp(eye[:, 0], x, skin[upper[keep], 1][order])
    low = np.interp(eye[:, 0], x, skin[lower[keep], 1][order])
    shade = 0.42 + 0.58 * smoothstep(eye[:, 1] - lid, -0.05, 0.42)
    return shade * (0.80 + 0.20 * smoothstep(low - eye[:, 1], -0.05, 0.15))


def _lashes(face: Face, skin: np.ndarray, side: int, controls: dict[str, float]) -> np.ndarray:
    root = skin[lash_columns(face, side)]
    closed = controls.get("blink_right" if side < 0 else "blink_left", 0.0)
    spread = np.linspace(-0.25, 1.0, len(root))
    length = LASH_CM * np.interp(np.linspace(0, 1, len(root)), [0, 0.15, 0.7, 1], [0.4, 0.8, 1.15, 1.0])
    direction = np.stack(
        [side * 0.45 * spread, np.full(len(root), -0.45 + 0.95 * closed), np.full(len(root), -0.75)], -1
    )
    lifted = root + np.array([0, 0, -0.03])
    return np.concatenate([lifted, lifted + length[:, None] * direction])
