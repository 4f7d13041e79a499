"""Landmarks as input of the landmark autoencoder: 51 points without the jaw line; the last 20 are the mouth.

The paper takes the points from a square of 480 px (section 8.1.1) and leaves the normalisation open. Three forms exist:

- "head" (default): the head pose is removed with the clip's camera and rigid shape, so that a rotation of the head does
  not count as a motion of the face. Unit: the mean distance of the outer eye corners.
- "motion": like "head", but without the person's rigid shape, and scaled by four. Only motion remains, so a few people
  are enough for training.
- "frame": pixel coordinates from the frame's centre, divided by the frame's side, as in the paper.
"""

from __future__ import annotations

import numpy as np

from jean.clips.clip import Clip
from jean.geometry import Camera, invert_pose, to_camera
from jean.landmarks import INTER_OCULAR_CM, WITHOUT_JAW

FORMS = ("head", "motion", "frame")
MOTION_SCALE = 4.0  # gives the motion of a wide open mouth about the size of a face in the other forms
CENTRE_Y_CM = 1.0  # y between eyes and mouth of the mean head; subtracted, so that values are centred on zero


def face_points(clip: Clip, form: str = "head") -> np.ndarray:
    """Landmarks 17 to 67 of a clip, float32 [T, 51, 2]; NaN in frames without a face.

    Args:
        clip: a prepared clip.
        form: "head", "motion" or "frame", see the module's description.

    Raises:
        ValueError: an unknown form.
    """
    if form not in FORMS:
        raise ValueError(f"unknown form {form!r}; choose one of {', '.join(FORMS)}")
    landmarks = clip.arrays["landmarks"][:, WITHOUT_JAW].astype(np.float64)
    if form == "frame":
        return (landmarks / clip.size_px - 0.5).astype(np.float32)
    offsets = rigid_offsets(clip, WITHOUT_JAW)
    if form == "motion":
        return (MOTION_SCALE * offsets / INTER_OCULAR_CM).astype(np.float32)
    offsets += clip.arrays["shape"][WITHOUT_JAW, :2] - np.array([0.0, CENTRE_Y_CM])
    return (offsets / INTER_OCULAR_CM).astype(np.float32)


def rigid_offsets(clip: Clip, points: slice, frames: slice = slice(None)) -> np.ndarray:
    """Offsets of landmarks from those of the rigid head, float64 [T, P, 2], cm along the face's own axes.

    The rigid shape is projected with the head pose and subtracted. The differences in pixels are then scaled to cm at
    the landmark's depth, and rotated back by the head's roll. NaN in frames without a face.

    Args:
        clip: a prepared clip.
        points: which of the 68 landmarks.
        frames: which frames.
    """
    arrays = clip.arrays
    shape, poses = arrays["shape"][points], arrays["camera_to_world"][frames]
    return offsets_from(shape, arrays["landmarks"][frames, points], poses, clip.camera)


def depth_offsets(clip: Clip, points: slice | np.ndarray) -> np.ndarray:
    """Offsets that ``rigid_offsets`` finds for points 1 cm behind those of the rigid shape, [T, P, 2], cm.

    The depth of a landmark is hard to fit from a video. An error in it looks like a motion of the face that follows the
    turns of the head; to first order it is this derivative times the error.

    Args:
        clip: a prepared clip.
        points: which of the 68 landmarks.
    """
    poses = np.asarray(clip.arrays["camera_to_world"], np.float64)
    axes = invert_pose(poses)[:, :3, :3]
    rigid = to_camera(np.asarray(clip.arrays["shape"], np.float64)[points], poses)
    moved = axes[:, None, :2, 2] - rigid[..., :2] / rigid[..., 2:] * axes[:, None, 2:, 2]
    turn = axes[:, :2, :2] / np.linalg.norm(axes[:, :2, :2], axis=1, keepdims=True)
    return np.asarray(np.einsum("tji,tpj->tpi", turn, moved))


def offsets_from(shape: np.ndarray, seen_px: np.ndarray, camera_to_world: np.ndarray, camera: Camera) -> np.ndarray:
    """``rigid_offsets`` of any points.

    Args:
        shape: where the points are on the rigid head [P, 3], head space, cm.
        seen_px: where they are seen [T, P, 2], px.
        camera_to_world: head poses [T, 4, 4].
        camera: intrinsics.
    """
    world_to_camera = invert_pose(camera_to_world)
    rigid = to_camera(np.asarray(shape, np.float64), camera_to_world)
    pixels = rigid[..., :2] / rigid[..., 2:] * camera.focal_px + np.asarray(camera.center_px)
    offset = (seen_px - pixels) * rigid[..., 2:] / camera.focal_px
    # the image axes in head space: the upper left block of the rotation, normalised to remove its foreshortening
    turn = world_to_camera[:, :2, :2] / np.linalg.norm(world_to_camera[:, :2, :2], axis=1, keepdims=True)
    return np.asarray(np.einsum("tji,tpj->tpi", turn, offset))
