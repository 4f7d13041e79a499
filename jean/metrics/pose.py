"""Head pose error: degrees and centimetres between two estimates of the same tracker."""

from __future__ import annotations

import numpy as np

from jean.metrics.base import Column, Compared, FramePair, PairContext, Scores, mean_or_nan


def head_in_camera(camera_to_world: np.ndarray) -> np.ndarray:
    """The head's pose seen from the camera, [..., 4, 4], from ``camera_to_world`` [..., 4, 4] (rigid)."""
    rotation = np.swapaxes(camera_to_world[..., :3, :3], -1, -2)
    inverse = np.zeros_like(camera_to_world)
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3] = -np.einsum("...ij,...j->...i", rotation, camera_to_world[..., :3, 3])
    inverse[..., 3, 3] = 1
    return inverse


def rotation_error_deg(pose: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Angle in degrees [...] of the rotation that separates two poses [..., 4, 4]; 0 to 180."""
    relative = np.swapaxes(pose[..., :3, :3], -1, -2) @ reference[..., :3, :3]
    # atan2 of sine and cosine: arccos alone loses all digits near 0
    axis = np.stack(
        [
            relative[..., 2, 1] - relative[..., 1, 2],
            relative[..., 0, 2] - relative[..., 2, 0],
            relative[..., 1, 0] - relative[..., 0, 1],
        ],
        axis=-1,
    )
    sine = np.linalg.norm(axis, axis=-1) / 2
    cosine = (np.trace(relative, axis1=-2, axis2=-1) - 1) / 2
    return np.degrees(np.arctan2(sine, cosine))


def translation_error_cm(pose: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Distance in cm [...] between the head's origins, both seen from the camera.

    Args:
        pose, reference: ``camera_to_world`` [..., 4, 4] in head space, cm.
    """
    difference = head_in_camera(pose)[..., :3, 3] - head_in_camera(reference)[..., :3, 3]
    return np.linalg.norm(difference, axis=-1)


class PoseError(Compared):
    """Pose errors, averaged over the frames in which both heads have a pose."""

    name = "pose"
    version = "1"
    columns = (
        Column("pose_error_deg", "Pose", "lower", 2, "Angle between the head's rotations, degrees."),
        Column("pose_error_cm", "Place", "lower", 2, "Distance between the heads' places seen from the camera, cm."),
    )

    def __init__(self, context: PairContext):
        self._context = context
        self._degrees: list[float] = []
        self._sum_cm = 0.0

    def update(self, pair: FramePair) -> None:
        """Adds one pair of frames."""
        assert pair.reference is not None
        ours, theirs = (side.face.camera_to_world if side.face else None for side in (pair.result, pair.reference))
        if ours is None or theirs is None or self._context.tracker == "reference":
            self._degrees.append(float("nan"))
            return
        self._degrees.append(float(rotation_error_deg(ours, theirs)))
        self._sum_cm += float(translation_error_cm(ours, theirs))

    def result(self) -> Scores:
        """The scores over all pairs."""
        degrees = np.array(self._degrees)
        found = degrees[np.isfinite(degrees)]
        values = {
            "pose_error_deg": mean_or_nan(float(found.sum()), len(found)),
            "pose_error_cm": mean_or_nan(self._sum_cm, len(found)),
        }
        notes = () if len(found) else (f"No pose: the tracker {self._context.tracker!r} gives none for both.",)
        return Scores(values, {"pose_error_deg": degrees}, notes)
