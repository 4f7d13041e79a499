"""Landmarks as the landmark autoencoder takes them: 51 points, the mouth last, without the head's pose.

The paper feeds the points of a 480 px square as arrays (section 8.1.1) and says no more. Here three forms:

- "head" (the default): the head's pose is taken out with the clip's own camera and rigid shape, so a turn of
  the head is not mistaken for a movement of the face. Units: the mean distance of the outer eye corners.
- "motion": the same less the person's rigid shape, four times as large: movements alone, so that a few
  people are enough to learn from.
- "frame": pixels over the side of the frame, from its middle, as the paper's text has it.
"""

from __future__ import annotations

import numpy as np

from jean.clips.clip import Clip
from jean.geometry import invert_pose, to_camera
from jean.landmarks import INTER_OCULAR_CM, WITHOUT_JAW

FORMS = ("head", "motion", "frame")
POINTS = 51
MOUTH = slice(31, 51)  # the last twenty of the 51
MOTION_SCALE = 4.0  # a wide open mouth is about as large as a face in the other forms
CENTRE_Y_CM = 1.0  # between eyes and mouth of the mean head: values lie around zero


def face_points(clip: Clip, form: str = "head") -> np.ndarray:
    """float32 [T, 51, 2]: landmarks 17 to 67, NaN where there is no face.

    Args:
        clip: a prepared clip.
        form: one of ``FORMS``.
    """
    if form not in FORMS:
        raise ValueError(f"no form {form!r}")
    landmarks = clip.arrays["landmarks"][:, WITHOUT_JAW].astype(np.float64)
    if form == "frame":
        return (landmarks / clip.size_px - 0.5).astype(np.float32)
    moved = rigid_offsets(clip, WITHOUT_JAW)
    if form == "motion":
        return (MOTION_SCALE * moved / INTER_OCULAR_CM).astype(np.float32)
    moved += clip.arrays["shape"][WITHOUT_JAW, :2] - np.array([0.0, CENTRE_Y_CM])
    return (moved / INTER_OCULAR_CM).astype(np.float32)


def rigid_offsets(clip: Clip, points: slice) -> np.ndarray:
    """float64 [T, P, 2]: how landmarks differ from the rigid head's, cm in the face's own axes.

    The head's pose is taken out by projecting the rigid shape; the rest is turned by the roll and scaled
    by the distance. NaN in frames without a face.
    """
    arrays, camera = clip.arrays, clip.camera
    world_to_camera = invert_pose(arrays["camera_to_world"])
    rigid = to_camera(arrays["shape"][points].astype(np.float64), arrays["camera_to_world"])
    pixels = rigid[..., :2] / rigid[..., 2:] * camera.focal_px + np.asarray(camera.center_px)
    offset = (arrays["landmarks"][:, points] - pixels) * rigid[..., 2:] / camera.focal_px
    # the picture's axes seen from the head: the upper left of the rotation, without its foreshortening
    turn = world_to_camera[:, :2, :2] / np.linalg.norm(world_to_camera[:, :2, :2], axis=1, keepdims=True)
    return np.einsum("tji,tpj->tpi", turn, offset)
