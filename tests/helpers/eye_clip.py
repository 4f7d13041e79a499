"""A clip whose eyeballs and lids are placed by hand and projected."""

from __future__ import annotations

import numpy as np

from jean.clips.clip import Clip
from jean.geometry import Camera, invert_pose, make_pose, project, rotation_matrix
from jean.landmarks import EYEBALL_RADIUS_CM, IRIS_AHEAD_CM
from tests.helpers.tiny_clip import make_clip, rewrite

CENTRES = np.array([[-3.0, -2.66, -3.17 + EYEBALL_RADIUS_CM - IRIS_AHEAD_CM], [3.0, -2.66, -2.52]])  # of the eyeballs
OPEN_CM = 0.8


def with_eye_corners(shape: np.ndarray) -> np.ndarray:
    """A rigid head [68, 3] whose eyes are closed slits at the places of the eyeballs."""
    shape = shape.astype(np.float64)
    for first, x in ((36, -3.0), (42, 3.0)):  # corners and lids, as in ``jean.landmarks``
        across = np.array([-1.4, -0.5, 0.5, 1.4, 0.5, -0.5])
        shape[first : first + 6] = np.stack([x + across, np.full(6, -2.66), np.full(6, -3.17)], 1)
    return shape


def face_in(shape: np.ndarray, camera: Camera, pose: np.ndarray, gaze_deg, height: float):
    """Landmarks [68, 2] and irises [2, 2], px, of a head from ``with_eye_corners`` with gaze [2] and opened lids.

    The iris is a point of the eyeball's surface, rotated about its centre in three dimensions and projected.
    """
    moved = shape.copy()
    for first in (36, 42):
        moved[[first + 1, first + 2], 1] -= height / 2
        moved[[first + 4, first + 5], 1] += height / 2
    right, down = np.radians(gaze_deg)
    look = np.array([np.sin(right), np.sin(down), 0.0])
    look[2] = -np.sqrt(1 - look @ look)
    return project(moved, camera, pose), project(CENTRES + EYEBALL_RADIUS_CM * look, camera, pose)


def pose_of(turn_deg) -> np.ndarray:
    """camera_to_world [4, 4] of a head turned by a rotation vector in degrees."""
    turn = rotation_matrix(np.radians(np.asarray(turn_deg, float)))
    return invert_pose(make_pose(turn, np.array([1.0, -0.5, 45.0])))


def clip_of(folder, gaze_deg, opening, turn_deg=(0.0, 0.0, 0.0)) -> Clip:
    """A clip whose eyeballs look ``gaze_deg`` [T, 2] with lids ``opening`` [T], of a head turned by ``turn_deg``."""
    count = len(gaze_deg)
    clip = Clip.open(make_clip(folder, frames=count, size=48))
    shape, pose = with_eye_corners(clip.arrays["shape"]), pose_of(turn_deg)
    faces = [face_in(shape, clip.camera, pose, *each) for each in zip(gaze_deg, opening, strict=True)]
    landmarks, irises = (np.stack(part) for part in zip(*faces, strict=True))
    arrays = {
        "shape": shape.astype(np.float32),
        "landmarks": landmarks.astype(np.float32),
        "irises": irises.astype(np.float32),
        "camera_to_world": np.repeat(pose[None], count, 0),
    }
    return Clip.open(rewrite(folder, arrays))
