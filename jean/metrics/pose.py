"""Head pose error in degrees and centimetres between two poses estimated by the same tracker.

A tracker knows the distance of a head only up to the focal length that it assumes for the frame. So positions are
compared only between videos that are framed alike; the motion about the mean position also between others.
"""

from __future__ import annotations

import numpy as np

from jean.metrics.base import Column, FramePair, Metric, MetricContext, MetricOptions, Scores, mean_or_nan
from jean.metrics.framing import Framing


def head_in_camera(camera_to_world: np.ndarray) -> np.ndarray:
    """Pose of the head in camera coordinates [..., 4, 4]: the inverse of the rigid ``camera_to_world`` [..., 4, 4]."""
    rotation = np.swapaxes(camera_to_world[..., :3, :3], -1, -2)
    inverse = np.zeros_like(camera_to_world)
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3] = -np.einsum("...ij,...j->...i", rotation, camera_to_world[..., :3, 3])
    inverse[..., 3, 3] = 1
    return inverse


def rotation_error_deg(pose: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Angle between the rotations of two poses [..., 4, 4], in degrees [...]; 0 to 180."""
    relative = np.swapaxes(pose[..., :3, :3], -1, -2) @ reference[..., :3, :3]
    # atan2 of sine and cosine stays accurate near 0, where arccos loses all digits
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
    """Distance between the head origins in camera coordinates, in cm [...].

    Args:
        pose, reference: ``camera_to_world`` [..., 4, 4], translation in cm.
    """
    difference = head_in_camera(pose)[..., :3, 3] - head_in_camera(reference)[..., :3, 3]
    return np.linalg.norm(difference, axis=-1)


def motion_error_cm(head: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Distance between the motions of two heads about their mean positions, in cm [T].

    Depths are brought to the reference's mean depth first: they are proportional to the focal length that the tracker
    assumes for each video.

    Args:
        head, reference: positions of the head in camera coordinates [T, 3], cm.
    """
    depth, reference_depth = head[:, 2].mean(), reference[:, 2].mean()
    scale = np.array([1.0, 1.0, reference_depth / depth if min(depth, reference_depth) > 0 else 1.0])
    difference = (head - head.mean(0)) * scale - (reference - reference.mean(0))
    return np.linalg.norm(difference, axis=-1)


class PoseError(Metric):
    """Rotation and translation error of the head, averaged over the frames in which both heads have a pose."""

    name = "pose"
    needs_pictures = False
    version = "2"
    columns = (
        Column("pose_error_deg", "Pose", "lower", 2, "Angle between the rotations of the heads, degrees."),
        Column("pose_error_cm", "Place", "lower", 2, "Distance between the head origins in camera coordinates, cm."),
        Column("pose_motion_cm", "Motion", "lower", 2, "The same between the motions about the mean positions, cm."),
    )

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self._angles_deg: list[float] = []
        self._sum_cm = 0.0
        self._positions: list[np.ndarray] = []  # [2, 3] of each frame with both poses
        self._framing = Framing()

    def update(self, pair: FramePair) -> None:
        """Adds the pose error of one frame pair."""
        assert pair.reference is not None
        pose, reference = (f.face.camera_to_world if f.face else None for f in (pair.result, pair.reference))
        if pose is None or reference is None or not self.context.result_is_tracked:
            self._angles_deg.append(float("nan"))
            return
        self._framing.add(pair.result, pair.reference)
        self._angles_deg.append(float(rotation_error_deg(pose, reference)))
        self._sum_cm += float(translation_error_cm(pose, reference))
        self._positions.append(head_in_camera(np.stack([pose, reference]))[:, :3, 3])

    def result(self) -> Scores:
        """The means over frames with both poses; without ``pose_error_cm`` for videos that are framed differently."""
        angles = np.array(self._angles_deg)
        known = angles[np.isfinite(angles)]
        values = dict.fromkeys((column.name for column in self.columns), float("nan"))
        if not len(known):
            note = f"No pose: the tracker {self.context.tracker!r} gives no pose for both videos."
            return Scores(values, {"pose_error_deg": angles}, (note,))
        positions = np.stack(self._positions)
        values["pose_error_deg"] = float(known.mean())
        values["pose_motion_cm"] = float(motion_error_cm(positions[:, 0], positions[:, 1]).mean())
        problem = self._framing.problem()
        if not problem:
            values["pose_error_cm"] = mean_or_nan(self._sum_cm, len(known))
        return Scores(values, {"pose_error_deg": angles}, (problem,) if problem else ())
