"""Moves the skin: named controls → vertices, landmarks, mouth opening and rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.synthetic_speaker.controls import CONTROLS, control_deltas, jaw_weights
from jean.synthetic_speaker.shape import (
    EYE_CENTER,
    Shape,
    Skin,
    build_skin,
    over_eyeballs,
)
from jean.synthetic_speaker.skin_points import brow_vertices, landmark_vertices, lip_rows

JAW_HINGE = (-0.3, 2.4)  # y, z of the axis about which the jaw turns, cm
JAW_RANGE_RAD = 0.27  # at jaw_open = 1
OUTER_EYE_CM = 8.89  # distance of the outer eye corners in head space


@dataclass(frozen=True)
class Face:
    """One person's skin and how it moves.

    Attributes:
        skin: the rest shape, not yet laid over the eyeballs.
        deltas: float64 [C, N, 3], movement at 1 of each linear control (zeros for the others).
        jaw: float64 [N], how far a vertex goes with the jaw, 0 to 1.
        landmarks: int [68], vertex numbers of the iBUG-68 points.
        scale, offset: from the coordinates of ``shape.py`` to head space; they put the outer corners of the
            eyes where head space says.
    """

    skin: Skin
    deltas: np.ndarray
    jaw: np.ndarray
    landmarks: np.ndarray
    scale: float
    offset: np.ndarray


def build_face(shape: Shape) -> Face:
    """A person's face; the same proportions give the same face."""
    mean = build_skin(Shape())
    skin = build_skin(shape)
    landmarks = landmark_vertices(mean)
    landmarks[17:27] = brow_vertices(skin, shape)
    corners = over_eyeballs(skin.points)[landmarks[[36, 45]]]
    scale = OUTER_EYE_CM / float(np.linalg.norm(corners[1] - corners[0]))
    offset = np.array([0.0, -2.66, -3.17]) - corners.mean(0) * scale
    return Face(skin, control_deltas(skin, shape), jaw_weights(skin, shape), landmarks, scale, offset)


def move(face: Face, controls: dict[str, float]) -> np.ndarray:
    """Vertices of the skin under ``controls`` (missing ones are 0): float64 [N, 3], head space, cm."""
    values = np.array([controls.get(name, 0.0) for name in CONTROLS])
    active = np.flatnonzero(values)
    points = face.skin.points + np.tensordot(values[active], face.deltas[active], 1)
    near = _lid_zone(face.skin)
    points[near] = over_eyeballs(points[near])
    points = turn_jaw(points, face.jaw, controls.get("jaw_open", 0.0))
    points = _close_lips(points, face, controls.get("lip_close", 0.0))
    return points * face.scale + face.offset


def turn_jaw(points: np.ndarray, weight: np.ndarray, amount: float) -> np.ndarray:
    """Turns ``points`` (coordinates of ``shape.py``) about the jaw's hinge by ``weight`` × ``amount``."""
    angle = weight * amount * JAW_RANGE_RAD
    y, z = points[:, 1] - JAW_HINGE[0], points[:, 2] - JAW_HINGE[1]
    cos, sin = np.cos(angle), np.sin(angle)
    out = points.copy()
    out[:, 1] = JAW_HINGE[0] + y * cos - z * sin
    out[:, 2] = JAW_HINGE[1] + y * sin + z * cos
    return out


def mouth_opening(landmarks: np.ndarray) -> float:
    """Mean distance of three pairs of inner-lip points over the inter-ocular distance; [68, 3] in."""
    gap = np.linalg.norm(landmarks[[61, 62, 63]] - landmarks[[67, 66, 65]], axis=1).mean()
    return float(gap / np.linalg.norm(landmarks[36] - landmarks[45]))


def mouth_rounding(landmarks: np.ndarray, neutral: np.ndarray) -> float:
    """How much narrower than at rest the mouth is, 0 at rest, negative when spread; [68, 3] each."""
    width = np.linalg.norm(landmarks[48] - landmarks[54])
    return float(1.0 - width / np.linalg.norm(neutral[48] - neutral[54]))


def _lid_zone(skin: Skin) -> np.ndarray:
    x, y = np.abs(skin.points[:, 0]), skin.points[:, 1]
    return np.flatnonzero(
        (np.abs(x - EYE_CENTER[0]) < 1.9) & (np.abs(y - EYE_CENTER[1]) < 1.9) & (skin.points[:, 2] < 0)
    )


def _close_lips(points: np.ndarray, face: Face, amount: float) -> np.ndarray:
    """Brings the margins of the lips together column by column: at 1 they touch."""
    upper, lower = lip_rows(face.skin)
    gap = points[lower] - points[upper]
    if amount <= 0 or not np.any(gap[:, 1] > 1e-6):
        return points
    out = points.copy()
    columns = face.skin.strips[1].shape[1]
    for strip, share in ((face.skin.strips[1], 0.35), (face.skin.strips[2], -0.65)):
        index = strip.reshape(-1)
        fade = np.exp(-((face.skin.line_distance[index] / 1.5) ** 2)) * (face.skin.points[index, 2] < 0)
        out[index] += (amount * share * fade)[:, None] * np.tile(gap, (len(index) // columns, 1))
    return out
