"""The face rig: named controls deform the skin; landmarks and mouth measures follow from its vertices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.synthetic_speaker.controls import CONTROLS, control_deltas, jaw_weights
from jean.synthetic_speaker.head_shape import (
    EYE_CENTER,
    INNER_LIP_ROWS,
    MOUTH_HALF_WIDTH,
    HeadShape,
    SkinMesh,
    build_skin,
    lip_heights,
    over_eyeballs,
)

JAW_HINGE = (-0.3, 2.4)  # y and z of the jaw's rotation axis, cm
JAW_RANGE_RAD = 0.27  # rotation at jaw_open = 1
OUTER_EYE_CM = 8.89  # distance between the outer eye corners in head space


@dataclass(frozen=True)
class FaceRig:
    """One person's skin mesh and the deformation of each control.

    Attributes:
        skin: the neutral skin, before the lids are laid over the eyeballs.
        deltas: float64 [C, N, 3], vertex displacement at value 1 of each linear control (0 for the others), cm.
        jaw: float64 [N], jaw weight per vertex, 0 to 1.
        landmarks: int [68], vertex numbers of the iBUG-68 points.
        scale, offset: map the coordinates of ``head_shape.py`` to head space; they put the outer eye corners
            at their fixed positions in head space.
    """

    skin: SkinMesh
    deltas: np.ndarray
    jaw: np.ndarray
    landmarks: np.ndarray
    scale: float
    offset: np.ndarray


def build_face_rig(shape: HeadShape) -> FaceRig:
    """Builds the rig of a head shape; deterministic."""
    mean = build_skin(HeadShape())
    skin = build_skin(shape)
    landmarks = landmark_vertices(mean)
    landmarks[17:27] = brow_vertices(skin, shape)
    corners = over_eyeballs(skin.points)[landmarks[[36, 45]]]
    scale = OUTER_EYE_CM / float(np.linalg.norm(corners[1] - corners[0]))
    offset = np.array([0.0, -2.66, -3.17]) - corners.mean(0) * scale
    return FaceRig(skin, control_deltas(skin, shape), jaw_weights(skin, shape), landmarks, scale, offset)


def deform_skin(rig: FaceRig, controls: dict[str, float]) -> np.ndarray:
    """Skin vertices for given control values: float64 [N, 3], head space, cm.

    Args:
        rig: whose skin.
        controls: value per name of ``controls.CONTROLS``; missing ones are 0.
    """
    values = np.array([controls.get(name, 0.0) for name in CONTROLS])
    active = np.flatnonzero(values)
    points = rig.skin.points + np.tensordot(values[active], rig.deltas[active], 1)
    lids = _lid_zone(rig.skin)
    points[lids] = over_eyeballs(points[lids])
    points = rotate_jaw(points, rig.jaw, controls.get("jaw_open", 0.0))
    points = _close_lips(points, rig, controls.get("lip_close", 0.0))
    return points * rig.scale + rig.offset


def rotate_jaw(points: np.ndarray, weight: np.ndarray, amount: float) -> np.ndarray:
    """Rotates points about the jaw hinge by ``weight * amount * JAW_RANGE_RAD``.

    Args:
        points: [N, 3], in the coordinates of ``head_shape.py``.
        weight: [N], 0 to 1.
        amount: value of the control ``jaw_open``.
    """
    angle = weight * amount * JAW_RANGE_RAD
    y, z = points[:, 1] - JAW_HINGE[0], points[:, 2] - JAW_HINGE[1]
    cos, sin = np.cos(angle), np.sin(angle)
    out = points.copy()
    out[:, 1] = JAW_HINGE[0] + y * cos - z * sin
    out[:, 2] = JAW_HINGE[1] + y * sin + z * cos
    return out


def mouth_opening(landmarks: np.ndarray) -> float:
    """Mean gap of three pairs of inner-lip landmarks over the inter-ocular distance.

    Args:
        landmarks: [68, 3], iBUG-68.
    """
    gap = np.linalg.norm(landmarks[[61, 62, 63]] - landmarks[[67, 66, 65]], axis=1).mean()
    return float(gap / np.linalg.norm(landmarks[36] - landmarks[45]))


def mouth_rounding(landmarks: np.ndarray, neutral: np.ndarray) -> float:
    """Relative reduction of the mouth width: 0 if neutral, positive if rounded, negative if spread.

    Args:
        landmarks: [68, 3], iBUG-68.
        neutral: [68, 3], the same person's neutral landmarks.
    """
    width = np.linalg.norm(landmarks[48] - landmarks[54])
    return float(1.0 - width / np.linalg.norm(neutral[48] - neutral[54]))


def landmark_vertices(skin: SkinMesh) -> np.ndarray:
    """Vertex numbers of the iBUG-68 points on the mean skin: int [68].

    All skins share one topology, so the numbers hold for every person (brows excepted, see ``brow_vertices``).
    """
    p = skin.points
    jaw = [(-7.74, -2.36, 2.0), (-7.64, -0.4, 2.4), (-7.46, 1.6, 2.4), (-7.1, 3.5, 2.1), (-6.4, 5.4, 1.3)]
    jaw += [(-5.26, 7.0, -0.45), (-3.72, 8.2, -2.3), (-1.95, 9.1, -3.8), (0.0, 9.4, -4.25)]
    jaw += [(-a, b, c) for a, b, c in jaw[-2::-1]]
    nose = [(0.0, -2.9, -5.5), (0.0, -1.7, -6.3), (0.0, -0.5, -7.1), (0.0, 0.7, -7.6)]
    nose += [(-1.3, 1.75, -5.2), (-0.65, 2.0, -5.8), (0, 2.1, -6.0), (0.65, 2.0, -5.8), (1.3, 1.75, -5.2)]
    points = [int(np.argmin(((p - q) ** 2).sum(1))) for q in np.array(jaw + nose, float)]
    points = points[:17] + list(brow_vertices(skin, HeadShape())) + points[17:]
    upper, lower = lid_rows(skin)

    def nearest(row: np.ndarray, x: float) -> int:
        # the penalty excludes vertices at the back of the head
        return int(row[np.argmin(np.abs(p[row, 0] - x) + 99 * (p[row, 2] > 0))])

    for side in (-1, 1):
        xs = [-4.445, -3.65, -2.65, -1.86] if side < 0 else [1.86, 2.65, 3.65, 4.445]
        low = [-2.65, -3.65] if side < 0 else [3.65, 2.65]
        points += [nearest(upper, x) for x in xs] + [nearest(lower, x) for x in low]
    top, bottom = lip_rows(skin)
    outer_x = [-1.8, -0.75, 0.0, 0.75, 1.8]
    points.append(nearest(top, -MOUTH_HALF_WIDTH))
    points += [_lip_border(skin, x, -1) for x in outer_x]
    points.append(nearest(top, MOUTH_HALF_WIDTH))
    points += [_lip_border(skin, x, 1) for x in outer_x[::-1]]
    points += [nearest(top, x) for x in (-2.15, -1.05, 0, 1.05, 2.15)] + [nearest(bottom, x) for x in (1.05, 0, -1.05)]
    return np.array(points)


def brow_vertices(skin: SkinMesh, shape: HeadShape) -> np.ndarray:
    """Vertex numbers of the ten brow landmarks, along the upper half of the painted brows: int [10]."""
    half = [(-5.65, -4.5, -2.9), (-4.9, -5.0, -3.7), (-3.85, -5.35, -4.4), (-2.65, -5.25, -5.0), (-1.4, -4.9, -5.3)]
    points = np.array(half + [(-a, b, c) for a, b, c in half[::-1]]) - [0, shape.brow_height, 0]
    return np.array([int(np.argmin(((skin.points - q) ** 2).sum(1))) for q in points])


def lip_rows(skin: SkinMesh) -> tuple[np.ndarray, np.ndarray]:
    """Vertex numbers of the margins of upper and lower lip: int [columns] each."""
    return skin.strips[1][-1 - INNER_LIP_ROWS], skin.strips[2][INNER_LIP_ROWS]


def lid_rows(skin: SkinMesh) -> tuple[np.ndarray, np.ndarray]:
    """Vertex numbers of the margins of upper and lower lids: int [columns] each."""
    return skin.strips[0][-1], skin.strips[1][0]


def _lip_border(skin: SkinMesh, x: float, direction: int) -> int:
    """The vertex at x where the red of the upper (direction -1) or lower (1) lip ends."""
    strip = skin.strips[1] if direction < 0 else skin.strips[2]
    index = strip.ravel()
    height = lip_heights(np.array([x]), HeadShape())[direction > 0][0]
    p = skin.points[index]
    cost = np.abs(p[:, 0] - x) + np.abs(skin.line_distance[index] - direction * height) + 99 * (p[:, 2] > 0)
    # Rows inside the lip have the margin's line distance but lie deeper.
    return int(index[np.argmin(cost + 0.01 * p[:, 2])])


def _lid_zone(skin: SkinMesh) -> np.ndarray:
    """Vertex numbers around both eyes."""
    x, y = np.abs(skin.points[:, 0]), skin.points[:, 1]
    return np.flatnonzero(
        (np.abs(x - EYE_CENTER[0]) < 1.9) & (np.abs(y - EYE_CENTER[1]) < 1.9) & (skin.points[:, 2] < 0)
    )


def _close_lips(points: np.ndarray, rig: FaceRig, amount: float) -> np.ndarray:
    """Moves the lip margins of each column towards each other; at ``amount`` 1 they touch."""
    upper, lower = lip_rows(rig.skin)
    gap = points[lower] - points[upper]
    if amount <= 0 or not np.any(gap[:, 1] > 1e-6):
        return points
    out = points.copy()
    columns = rig.skin.strips[1].shape[1]
    # The lower lip covers 65 % of the gap, as the jaw carries it.
    for strip, fraction in ((rig.skin.strips[1], 0.35), (rig.skin.strips[2], -0.65)):
        index = strip.reshape(-1)
        fade = np.exp(-((rig.skin.line_distance[index] / 1.5) ** 2)) * (rig.skin.points[index, 2] < 0)
        out[index] += (amount * fraction * fade)[:, None] * np.tile(gap, (len(index) // columns, 1))
    return out
