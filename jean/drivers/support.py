"""The support limit: keeps every driver of a head within the range of its training.

A training covers a small region of driver values (expression vectors, lip coordinates, landmark offsets, poses).
Outside of it the field is undefined and the face breaks. Limiting each coefficient to an interval does not prevent
that, because the corners of the resulting box are too far out. ``Support`` measures the distance in whitened principal
components instead, and moves distant values along a straight line towards the training mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from jean.geometry import invert_pose, make_pose, mean_pose, rotation_matrix, rotation_vector

QUANTILE = 0.95  # of the training frames lie within the radius
LARGEST = 1.2  # distance that limited values approach, in radii
# Radii within which the mean of a foreign source stays. Measured on nine pairs: with 0 a constant expression such as a
# frown is lost, with 0.8 eyes are torn in twice as many frames as with 0.3.
CONSTANT_ROOM = 0.4
OFFSET_ROOM = 2.0  # factor on the radii of offsets: they only deform space, which stays defined further out
UPPER = np.arange(17, 48)  # iBUG numbers of brows, nose and eyes
LOWER = np.array([*range(17), *range(48, 68)])
NECK = np.array([0.0, 8.0, 4.0])  # about which a head turns: top of the neck, head space, cm
FURTHER_DEG = 12.0  # that a head may turn beyond the support; beyond about 15, sides that no frame shows break up
PIECE = 4096  # frames that are limited at once, so that memory does not grow with the length
TENTHS_RAD = 10.0  # rotations in tenths of a radian compare with shifts in centimetres


@dataclass(frozen=True)
class Support:
    """Region of the training values [D]: an ellipsoid along principal axes, and a ball for the residual.

    Attributes:
        mean: [D], mean of the training values.
        scale: [D], standard deviation of each value, not below the floor given to ``fit``.
        axes: [K, D], principal axes of the standardised values; K may be 0.
        axis_std: [K], standard deviation along each axis.
        radius: whitened norm up to which values are unchanged: the training values' 95th percentile, times a factor.
        residual_radius: the same for the norm of the residual, which the axes do not represent.
    """

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    axis_std: np.ndarray
    radius: float
    residual_radius: float

    @classmethod
    def fit(cls, values: np.ndarray, scale_floor: float, axis_floor: float = 0.15, room: float = 1.0) -> Support:
        """The support of training values [T, D].

        Args:
            values: one row per training frame.
            scale_floor: smallest scale, in the values' unit, so that noise of a constant value is no distance.
            axis_floor: axes with a smaller standard deviation (of standardised values) count as residual.
            room: factor on both radii.
        """
        values = np.asarray(values, np.float64)
        mean, scale = values.mean(0), np.maximum(values.std(0), scale_floor)
        singular, axes = np.linalg.svd((values - mean) / scale, full_matrices=False)[1:]
        axis_std = singular / np.sqrt(len(values))
        count = int((axis_std > axis_floor).sum())
        support = cls(mean, scale, axes[:count], axis_std[:count], 0.0, 0.0)
        radius, residual_radius = (float(np.quantile(norms, QUANTILE)) for norms in support._norms(values))
        return replace(support, radius=room * radius, residual_radius=room * residual_radius)

    def limit(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Limits values to the support.

        Values within the radius are unchanged. Beyond it, the distance approaches ``LARGEST`` radii. The map is smooth,
        so that a smooth track stays smooth.

        Args:
            values: [T, D].

        Returns:
            Limited values [T, D], and the remaining fraction [T] of their distance to the mean.
        """
        values = np.asarray(values, np.float64)
        limited, remaining = np.empty_like(values), np.empty(len(values))
        for start in range(0, len(values), PIECE):
            rows = slice(start, start + PIECE)
            limited[rows], remaining[rows] = self._limit(values[rows])
        return limited, remaining

    def _limit(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        distance, residual = self._norms(values)
        factor, residual_factor = _shrink(distance, self.radius), _shrink(residual, self.residual_radius)
        standardised = (values - self.mean) / self.scale
        along = (standardised @ self.axes.T) @ self.axes
        limited = factor[:, None] * along + residual_factor[:, None] * (standardised - along)
        length = np.linalg.norm(standardised, axis=1)
        unchanged = (factor == 1) & (residual_factor == 1)
        remaining = np.where(unchanged, 1.0, np.linalg.norm(limited, axis=1) / np.maximum(length, 1e-12))
        return np.where(unchanged[:, None], values, limited * self.scale + self.mean), remaining

    def approach(self, values: np.ndarray) -> tuple[np.ndarray, float]:
        """Moves a foreign source's values so that their mean lies near the training mean.

        What is constant in a source is largely its own face at rest, which the tracker measures as an expression. Left
        as it is, it takes the room of the motion, and ``limit`` then reduces both. A mean within ``CONSTANT_ROOM``
        radii stays.

        Args:
            values: [T, D].

        Returns:
            Moved values [T, D], and the remaining fraction of the mean's distance.
        """
        values = np.asarray(values, np.float64)
        constant = values.mean(0)
        room = replace(self, radius=CONSTANT_ROOM * self.radius, residual_radius=CONSTANT_ROOM * self.residual_radius)
        near, remaining = room.limit(constant[None])
        return values + (near[0] - constant), float(remaining[0])

    def _norms(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whitened norm along the axes, and norm of the residual, both [T]."""
        standardised = (values - self.mean) / self.scale
        along = standardised @ self.axes.T
        residual = standardised - along @ self.axes
        return np.linalg.norm(along / self.axis_std, axis=1), np.linalg.norm(residual, axis=1)

    def arrays(self) -> dict[str, np.ndarray]:
        """The attributes by name, to be stored."""
        return {field.name: np.atleast_1d(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Support:
        """The inverse of ``arrays``."""
        values = {field.name: np.asarray(arrays[field.name], np.float64) for field in fields(cls)}
        radius, residual_radius = values["radius"].item(), values["residual_radius"].item()
        return cls(values["mean"], values["scale"], values["axes"], values["axis_std"], radius, residual_radius)


def _shrink(distance: np.ndarray, radius: float) -> np.ndarray:
    """Factors [T] in (0, 1] for distances [T]: 1 up to ``radius``, then a smooth approach to ``LARGEST`` radii."""
    if np.isinf(radius):
        return np.ones_like(distance)
    radius = max(radius, 1e-6)  # rounding errors do not count as distance
    beyond = (LARGEST - 1) * radius
    target = radius + beyond * np.tanh((distance - radius) / beyond)
    return np.where(distance > radius, target / np.maximum(distance, radius), 1.0)


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
        motion, remaining = self.motion.limit(pose_motion(camera_to_world, self.mean))
        limited = poses_from_motion(motion, self.mean)
        return np.where((remaining == 1)[:, None, None], camera_to_world, limited), remaining

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


@dataclass(frozen=True)
class DriverSupport:
    """The supports of all drivers of one person's head.

    Attributes:
        expression: support of the expression vectors.
        upper_offsets: support of the landmark offsets of brows, nose and eyes, flattened to [62], cm.
        lower_offsets: support of the landmark offsets of contour and mouth, flattened to [74], cm.
        pose: support of the head poses.
        lips: support of the lip coordinates; None for the self-supervised embedding (Eqs. 1 and 2), which has none.
    """

    expression: Support
    upper_offsets: Support
    lower_offsets: Support
    pose: PoseSupport
    lips: Support | None

    @classmethod
    def fit(
        cls, expression: np.ndarray, offsets: np.ndarray, camera_to_world: np.ndarray, lips: np.ndarray | None
    ) -> DriverSupport:
        """The supports of T training frames.

        Args:
            expression: [T, E]; offsets: [T, 68, 2], cm; camera_to_world: [T, 4, 4]; lips: [T, W], or None.
        """
        return cls(
            # the floors are the smallest scales that the head itself knows (``nerf_model.set_statistics``)
            Support.fit(expression, scale_floor=0.02),
            Support.fit(_flat(offsets, UPPER), scale_floor=0.02, room=OFFSET_ROOM),
            Support.fit(_flat(offsets, LOWER), scale_floor=0.02, room=OFFSET_ROOM),
            PoseSupport.fit(camera_to_world),
            None if lips is None else Support.fit(lips, scale_floor=0.02),
        )

    def unlimited(self) -> DriverSupport:
        """The same means without any limit: what ``limit`` and ``approach`` return is what they are given."""

        def free(support: Support) -> Support:
            return replace(support, radius=np.inf, residual_radius=np.inf)

        return DriverSupport(
            free(self.expression),
            free(self.upper_offsets),
            free(self.lower_offsets),
            replace(self.pose, motion=free(self.pose.motion)),
            None if self.lips is None else free(self.lips),
        )

    def limit_offsets(self, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Limits offsets to their supports.

        Args:
            offsets: [T, 68, 2], cm.

        Returns:
            Limited offsets [T, 68, 2], and the remaining fractions [T] of the upper and the lower face.
        """
        limited, remaining = offsets.astype(np.float64), []
        for points, support in ((UPPER, self.upper_offsets), (LOWER, self.lower_offsets)):
            values, fraction = support.limit(_flat(offsets, points))
            limited[:, points] = values.reshape(len(offsets), -1, 2)
            remaining.append(fraction)
        return limited, remaining[0], remaining[1]

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays for storage, named PART/NAME."""
        parts = {
            "expression": self.expression,
            "upper_offsets": self.upper_offsets,
            "lower_offsets": self.lower_offsets,
            "pose": self.pose.motion,
            "lips": self.lips,
        }
        named = {
            f"{part}/{name}": array
            for part, support in parts.items()
            if support is not None
            for name, array in support.arrays().items()
        }
        return named | {"pose/mean_pose": self.pose.mean}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> DriverSupport:
        """The inverse of ``arrays``."""

        def part(name: str) -> Support:
            prefix = f"{name}/"
            return Support.from_arrays({k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)})

        lips = part("lips") if "lips/mean" in arrays else None
        pose = PoseSupport(arrays["pose/mean_pose"], part("pose"))
        return cls(part("expression"), part("upper_offsets"), part("lower_offsets"), pose, lips)


def _flat(offsets: np.ndarray, points: np.ndarray) -> np.ndarray:
    return offsets[:, points].reshape(len(offsets), -1)
