"""The support of head poses, and poses as motion about a mean pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.drivers.support import Support
from jean.geometry import invert_pose, make_pose, mean_pose, rotation_matrix, rotation_vector
from jean.row_file import parts_in_blocks

NECK = np.array([0.0, 8.0, 4.0])  # about which a head turns: top of the neck, head space, cm
FURTHER_DEG = 12.0  # that a head may turn beyond the support; beyond about 15, sides that no frame shows break up
TENTHS_RAD = 10.0  # rotations in tenths of a radian compare with shifts in centimetres


@dataclass(frozen=True)
class PoseSupport:
    """Region of the training's head poses.

    Attributes:
        mean: camera_to_world [4, 4], the mean pose of the training frames.
        motion: support of the motion about it, see ``pose_motion``.
    """

    mean: np.ndarray
    motion: Support

    @classmethod
    def fit(cls, camera_to_world: np.ndarray) -> PoseSupport:
        """The support of training poses [T, 4, 4]."""
        mean = mean_head_pose(camera_to_world)
        # 0.1: a hundredth of a radian, and a millimetre. 0.3: axes with less motion are limited as residual
        return cls(mean, Support.fit(pose_motion(camera_to_world, mean), scale_floor=0.1, axis_floor=0.3))

    def limit(self, camera_to_world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Limits poses [T, 4, 4] to the support; also returns the remaining fraction [T] of their motion."""

        def limited(poses: np.ndarray) -> tuple[np.ndarray, ...]:
            motion, remaining = self.motion.limit(pose_motion(poses, self.mean))
            near = poses_from_motion(motion, self.mean)
            return np.where((remaining == 1)[:, None, None], poses, near), remaining

        poses, remaining = parts_in_blocks(limited, camera_to_world)
        return poses, remaining

    def turn_further(self, camera_to_world: np.ndarray, limited: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turns limited poses towards the original ones, about the neck: the head turns further than it was seen.

        The field has three dimensions and bears some degrees more than the flat torso, which keeps the limited poses.
        Since the top of the neck stays in its place, the neck does not open. Beyond 90 degrees the turn fades, because
        the axis of a rotation by 180 degrees has no sign.

        Args:
            camera_to_world: the original poses [T, 4, 4]; limited: from ``limit``.

        Returns:
            Poses [T, 4, 4], and the remaining fraction [T] of the original motion.
        """
        poses, remaining = parts_in_blocks(self._turn_further, camera_to_world, limited)
        return poses, remaining

    def _turn_further(self, camera_to_world: np.ndarray, limited: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wanted, near = (pose_motion(poses, self.mean) for poses in (camera_to_world, limited))
        extra = wanted[:, :3] - near[:, :3]
        angle, most = np.linalg.norm(extra, axis=1, keepdims=True), TENTHS_RAD * np.radians(FURTHER_DEG)
        fade = (2 - np.linalg.norm(wanted[:, :3], axis=1, keepdims=True) / (TENTHS_RAD * np.pi / 2)).clip(0, 1)
        turn = near[:, :3] + extra * (fade * most * np.tanh(angle / most) / np.maximum(angle, 1e-12))
        rotation = rotation_matrix(turn / TENTHS_RAD) @ invert_pose(self.mean)[:3, :3]
        head = invert_pose(limited)
        neck = head[:, :3, :3] @ NECK + head[:, :3, 3]
        turned = invert_pose(make_pose(rotation, neck - rotation @ NECK))
        same = (camera_to_world == limited).all((1, 2))
        result = np.where(same[:, None, None], camera_to_world, turned)
        along = (pose_motion(result, self.mean) * wanted).sum(1) / np.maximum(np.square(wanted).sum(1), 1e-12)
        return result, np.where(same, 1.0, along.clip(0.0, 1.0))

    def retarget(self, camera_to_world: np.ndarray) -> np.ndarray:
        """Poses [T, 4, 4] with their motion about their own mean applied to this person's mean pose."""
        return poses_from_motion(pose_motion(camera_to_world, mean_head_pose(camera_to_world)), self.mean)


def mean_head_pose(camera_to_world: np.ndarray) -> np.ndarray:
    """Mean camera_to_world [4, 4] of poses [T, 4, 4]; the head's position and rotation are averaged in the camera."""
    return invert_pose(mean_pose(invert_pose(camera_to_world)))


def pose_motion(camera_to_world: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Motion of the head about a mean pose, in the camera's axes: [T, 6].

    Columns 0 to 2: a rotation vector, tenths of a radian; 3 to 5: a shift, cm.

    Args:
        camera_to_world: [T, 4, 4]; mean: [4, 4].
    """
    head, middle = invert_pose(camera_to_world), invert_pose(mean)
    turn = rotation_vector(head[:, :3, :3] @ middle[:3, :3].T)
    return np.concatenate([TENTHS_RAD * turn, head[:, :3, 3] - middle[:3, 3]], 1)


def poses_from_motion(motion: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The inverse of ``pose_motion``: camera_to_world [T, 4, 4] of motion [T, 6] about a mean pose [4, 4]."""
    middle = invert_pose(mean)
    rotation = rotation_matrix(motion[:, :3] / TENTHS_RAD) @ middle[:3, :3]
    return invert_pose(make_pose(rotation, middle[:3, 3] + motion[:, 3:]))
