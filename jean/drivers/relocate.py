"""Relocated landmarks: a face that moves and a head that moves, put together in pixels.

The inverse of ``jean.drivers.face_points.rigid_offsets`` and of ``jean.drivers.eyes.measure_eyes``.
"""

from __future__ import annotations

import numpy as np

from jean.drivers.eyes import ZERO_DEG
from jean.geometry import Camera, invert_pose, to_camera
from jean.landmarks import EYEBALL_RADIUS_CM, IRIS_AHEAD_CM, LEFT_EYE, RIGHT_EYE


def relocate(shape: np.ndarray, offsets: np.ndarray, camera_to_world: np.ndarray, camera: Camera) -> np.ndarray:
    """Landmarks [T, P, 2], px, of a rigid head with offsets.

    Args:
        shape: the rigid head's points [P, 3], head space, cm.
        offsets: along the face's own axes [T, P, 2], cm.
        camera_to_world: head poses [T, 4, 4].
        camera: intrinsics.
    """
    rigid = to_camera(np.asarray(shape, np.float64), camera_to_world)
    pixels = rigid[..., :2] / rigid[..., 2:] * camera.focal_px + np.asarray(camera.center_px)
    axes = invert_pose(camera_to_world)[:, :2, :2]
    turn = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    moved = np.einsum("tij,tpj->tpi", np.linalg.inv(turn.swapaxes(1, 2)), offsets)
    return np.asarray(pixels + moved / rigid[..., 2:] * camera.focal_px)


def relocate_irises(
    shape: np.ndarray, offsets: np.ndarray, gaze_deg: np.ndarray, camera_to_world: np.ndarray, camera: Camera
) -> np.ndarray:
    """Iris centres (subject's right, left) [T, 2, 2], px, of eyes that look to ``gaze_deg``.

    Args:
        shape: the rigid head [68, 3], head space, cm.
        offsets: of all landmarks [T, 68, 2], cm.
        gaze_deg: to the right and down within the head [T, 2].
        camera_to_world: head poses [T, 4, 4].
        camera: intrinsics.
    """
    irises = []
    for eye in (RIGHT_EYE, LEFT_EYE):
        rest = shape[eye][[0, 3]].mean(0) - np.array([0.0, 0.0, IRIS_AHEAD_CM])
        corners = offsets[:, eye][:, [0, 3]].mean(1)
        turned = EYEBALL_RADIUS_CM * np.sin(np.radians(gaze_deg + ZERO_DEG))
        irises.append(relocate(rest[None], (corners + turned)[:, None], camera_to_world, camera)[:, 0])
    return np.stack(irises, 1)
