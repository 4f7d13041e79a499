"""Pinhole camera, rotations, rigid poses and projection, as pure functions.

A pose is ``camera_to_world`` [..., 4, 4] with OpenCV axes (x right, y down, z forward). Lengths have the unit of
the world (cm in head space), angles are in radians, image positions in px with pixel centres at half-integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_TINY = 1e-12
_RIGID = 1e-2  # largest deviation of a stored rotation from an orthonormal matrix


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion, in pixels of one image.

    Pixel centres lie at half-integers: the top left pixel covers [0, 1] × [0, 1].

    Attributes:
        focal_px: focal length, the same along both axes.
        center_px: principal point (x, y).
        width_px: image width.
        height_px: image height.
    """

    focal_px: float
    center_px: tuple[float, float]
    width_px: int
    height_px: int

    def matrix(self) -> np.ndarray:
        """The intrinsic matrix K, float64 [3, 3]."""
        cx, cy = self.center_px
        return np.array([[self.focal_px, 0, cx], [0, self.focal_px, cy], [0, 0, 1]], np.float64)

    def cropped(self, left_px: float, top_px: float, side_px: float, size_px: int) -> Camera:
        """The camera of a square crop of this image, resized.

        Args:
            left_px: left edge of the crop, px of this image.
            top_px: top edge, px of this image.
            side_px: side of the crop, px of this image.
            size_px: side of the result, px.
        """
        scale = size_px / side_px
        cx, cy = self.center_px
        return Camera(self.focal_px * scale, ((cx - left_px) * scale, (cy - top_px) * scale), size_px, size_px)

    def resized(self, size_px: int) -> Camera:
        """The camera of this image, which must be square, resized to ``size_px``."""
        return self.cropped(0.0, 0.0, float(self.width_px), size_px)


def is_rigid(poses: np.ndarray) -> bool:
    """Whether all poses [..., 4, 4], finite, have rotations: orthonormal, without reflection.

    Example:
        >>> is_rigid(np.eye(4)), is_rigid(np.diag([1.0, 1.0, -1.0, 1.0]))
        (True, False)
    """
    rotations = np.asarray(poses, np.float64)[..., :3, :3]
    with np.errstate(over="ignore", invalid="ignore"):  # huge numbers are not rotations
        deviation = np.abs(rotations @ rotations.swapaxes(-1, -2) - np.eye(3)).max()
        return bool(deviation <= _RIGID and np.linalg.det(rotations).min() > 0)


def rotation_matrix(vector: np.ndarray) -> np.ndarray:
    """Rotation matrices [..., 3, 3] of rotation vectors [..., 3] (axis times angle, rad)."""
    vector = np.asarray(vector, np.float64)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    cross = cross_matrix(vector)
    # sin(a)/a and (1 - cos(a))/a² with numpy's sinc, which is exact at zero.
    first = np.sinc(angle / np.pi)
    second = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3) + first * cross + second * (cross @ cross)


def rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """Rotation vectors [..., 3] (rad, length at most pi) of rotation matrices [..., 3, 3]."""
    quaternion = _quaternion(matrix)
    real, imaginary = quaternion[..., :1], quaternion[..., 1:]
    imaginary = np.where(real < 0, -imaginary, imaginary)
    real = np.abs(real)
    length = np.linalg.norm(imaginary, axis=-1, keepdims=True)
    small = length < 1e-9
    scale = np.where(small, 2.0, 2 * np.arctan2(length, real) / np.where(small, 1.0, length))
    return imaginary * scale


def _quaternion(matrix: np.ndarray) -> np.ndarray:
    """Unit quaternions [..., 4] (w, x, y, z) of rotation matrices; stable at every angle (Shepperd's method)."""
    m = np.asarray(matrix, np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    zy, xz, yx = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy_, xz_, yz_ = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    candidates = np.stack(
        [
            np.stack([1 + xx + yy + zz, zy, xz, yx], -1),
            np.stack([zy, 1 + xx - yy - zz, xy_, xz_], -1),
            np.stack([xz, xy_, 1 - xx + yy - zz, yz_], -1),
            np.stack([yx, xz_, yz_, 1 - xx - yy + zz], -1),
        ],
        -2,
    )
    pivots = np.stack([candidates[..., i, i] for i in range(4)], -1)
    best = np.argmax(pivots, -1)[..., None, None]
    quaternion = np.take_along_axis(candidates, np.broadcast_to(best, (*best.shape[:-1], 4)), -2)[..., 0, :]
    return quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)


def cross_matrix(vector: np.ndarray) -> np.ndarray:
    """Skew-symmetric matrices [..., 3, 3] of vectors [..., 3]: ``cross_matrix(a) @ b == cross(a, b)``."""
    x, y, z = np.moveaxis(np.asarray(vector, np.float64), -1, 0)
    zero = np.zeros_like(x)
    rows = [np.stack(row, -1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    return np.stack(rows, -2)


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotations [..., 3, 3] nearest to matrices [..., 3, 3] in the Frobenius norm."""
    left, _, right = np.linalg.svd(matrix)
    sign = np.sign(np.linalg.det(left @ right))
    left = left.copy()
    left[..., :, 2] *= np.where(sign == 0, 1.0, sign)[..., None]
    return left @ right


def make_pose(rotation: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Poses [..., 4, 4] from rotations [..., 3, 3] and positions [..., 3]."""
    rotation, position = np.asarray(rotation, np.float64), np.asarray(position, np.float64)
    pose = np.zeros((*rotation.shape[:-2], 4, 4))
    pose[..., :3, :3] = rotation
    pose[..., :3, 3] = position
    pose[..., 3, 3] = 1.0
    return pose


def invert_pose(pose: np.ndarray) -> np.ndarray:
    """Inverse of rigid poses [..., 4, 4]; NaN stays NaN."""
    rotation = np.swapaxes(pose[..., :3, :3], -1, -2)
    return make_pose(rotation, -(rotation @ pose[..., :3, 3:])[..., 0])


def refocus(camera_to_world: np.ndarray, factor: np.ndarray | float) -> np.ndarray:
    """Poses for a camera whose focal length is ``factor`` times as long, with the head as large in the image as before.

    The head's depth is multiplied by the factor; its sideways position and its rotation are unchanged.

    Args:
        camera_to_world: [..., 4, 4].
        factor: ratio of the new focal length to the old one, [...] or a number.
    """
    head = invert_pose(camera_to_world)
    head[..., 2, 3] *= factor
    return invert_pose(head)


def to_camera(points: np.ndarray, camera_to_world: np.ndarray) -> np.ndarray:
    """Transforms points from world to camera coordinates.

    Args:
        points: [P, 3] or [..., P, 3], world.
        camera_to_world: [..., 4, 4].

    Returns:
        [..., P, 3].
    """
    return (points - camera_to_world[..., None, :3, 3]) @ camera_to_world[..., :3, :3]


def project(points: np.ndarray, camera: Camera, camera_to_world: np.ndarray) -> np.ndarray:
    """Projects world points into an image.

    Args:
        points: [P, 3] or [..., P, 3], world.
        camera: intrinsics.
        camera_to_world: [..., 4, 4].

    Returns:
        px [..., P, 2]; NaN for points at or behind the camera.

    Example:
        >>> camera = Camera(focal_px=100.0, center_px=(64.0, 64.0), width_px=128, height_px=128)
        >>> project(np.array([[0.0, 0.0, 50.0], [5.0, 0.0, 50.0]]), camera, np.eye(4)).tolist()
        [[64.0, 64.0], [74.0, 64.0]]
    """
    in_camera = to_camera(points, camera_to_world)
    depth = np.where(in_camera[..., 2:] > _TINY, in_camera[..., 2:], np.nan)
    return camera.focal_px * in_camera[..., :2] / depth + np.asarray(camera.center_px)


def similarity(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None, scaled: bool = True
) -> tuple[float, np.ndarray, np.ndarray]:
    """Least-squares similarity: ``target ≈ scale * source @ rotation.T + offset`` (Umeyama 1991).

    Args:
        source: [P, D].
        target: [P, D].
        weights: [P], not negative, not all zero; None for equal weights.
        scaled: False fixes the scale to 1.

    Returns:
        scale, rotation [D, D] (never a reflection), offset [D].
    """
    normalised = np.ones(len(source)) if weights is None else np.asarray(weights, np.float64)
    normalised = normalised / normalised.sum()
    source_mean, target_mean = normalised @ source, normalised @ target
    a, b = source - source_mean, target - target_mean
    left, singular, right = np.linalg.svd((b * normalised[:, None]).T @ a)
    sign = np.ones(len(singular))
    sign[-1] = np.sign(np.linalg.det(left @ right)) or 1.0
    rotation = (left * sign) @ right
    scale = float((singular * sign).sum() / max((normalised @ a**2).sum(), _TINY)) if scaled else 1.0
    return scale, rotation, target_mean - scale * rotation @ source_mean


def rotation_angle(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angle [...] between two rotations [..., 3, 3] or the rotations of poses [..., 4, 4], rad in [0, π].

    Example:
        >>> quarter_turn = rotation_matrix(np.array([0.0, np.pi / 2, 0.0]))
        >>> round(float(np.degrees(rotation_angle(np.eye(3), quarter_turn))), 3)
        90.0
    """
    relative = np.swapaxes(first[..., :3, :3], -1, -2) @ second[..., :3, :3]
    return np.linalg.norm(rotation_vector(relative), axis=-1)


def mean_rotation(rotations: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Chordal mean [3, 3] of rotations [N, 3, 3], with optional weights [N]."""
    return nearest_rotation(np.average(rotations, axis=0, weights=weights))


def mean_pose(poses: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean pose [4, 4] of poses [N, 4, 4]: chordal mean of the rotations, arithmetic mean of the positions."""
    rotation = mean_rotation(poses[:, :3, :3], weights)
    return make_pose(rotation, np.average(poses[:, :3, 3], axis=0, weights=weights))


def slerp(first: np.ndarray, second: np.ndarray, fraction: np.ndarray | float) -> np.ndarray:
    """Interpolates rotations [..., 3, 3] along the shortest arc; ``fraction`` 0 gives ``first``, 1 ``second``."""
    relative = rotation_vector(np.swapaxes(first, -1, -2) @ second)
    return first @ rotation_matrix(relative * np.asarray(fraction, np.float64)[..., None])


def blend_poses(first: np.ndarray, second: np.ndarray, fraction: np.ndarray | float) -> np.ndarray:
    """Interpolates poses [..., 4, 4]: ``slerp`` for the rotations, linear for the positions."""
    fraction = np.asarray(fraction, np.float64)
    rotation = slerp(first[..., :3, :3], second[..., :3, :3], fraction)
    weight = fraction[..., None]
    return make_pose(rotation, (1 - weight) * first[..., :3, 3] + weight * second[..., :3, 3])


def fill_poses(poses: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Fills invalid poses by interpolation in time; the ends repeat the nearest valid pose.

    Args:
        poses: [T, 4, 4]; invalid ones are ignored.
        valid: bool [T].

    Returns:
        [T, 4, 4].

    Raises:
        ValueError: no pose is valid.
    """
    index = np.flatnonzero(valid)
    if len(index) == 0:
        raise ValueError("no pose is valid")
    frames = np.arange(len(poses))
    after = np.clip(np.searchsorted(index, frames), 0, len(index) - 1)
    before = np.clip(np.searchsorted(index, frames, side="right") - 1, 0, len(index) - 1)
    left, right = index[before], index[after]
    fraction = np.clip((frames - left) / np.maximum(right - left, 1), 0.0, 1.0)
    return blend_poses(poses[left], poses[right], fraction)


def pose_steps(poses: np.ndarray) -> np.ndarray:
    """Motion from each frame to the next, [T - 1, 6]: rotation vector (rad), then translation.

    Both belong to ``world_to_camera``, because that moves the image: the rotation step is ``log(R[t+1] R[t]ᵀ)``,
    the translation step is the change of the world's origin in camera coordinates.

    Args:
        poses: ``camera_to_world`` [T, 4, 4].
    """
    view = invert_pose(poses)
    turn = rotation_vector(view[1:, :3, :3] @ np.swapaxes(view[:-1, :3, :3], -1, -2))
    return np.concatenate([turn, np.diff(view[:, :3, 3], axis=0)], axis=1)


def pose_jitter(poses: np.ndarray) -> tuple[float, float]:
    """Root mean square acceleration of poses.

    Rotation and translation belong to ``world_to_camera`` (see ``pose_steps``). Frames next to a NaN pose are
    ignored.

    Args:
        poses: ``camera_to_world`` [T, 4, 4].

    Returns:
        Degrees per frame², and world units per frame²; NaN if there are no three consecutive poses.
    """
    acceleration = np.diff(pose_steps(poses), axis=0)
    acceleration = acceleration[np.isfinite(acceleration).all(axis=1)]
    if len(acceleration) == 0:
        return float("nan"), float("nan")
    power = acceleration**2
    turn, shift = np.sqrt(power[:, :3].sum(axis=1).mean()), np.sqrt(power[:, 3:].sum(axis=1).mean())
    return float(np.degrees(turn)), float(shift)
