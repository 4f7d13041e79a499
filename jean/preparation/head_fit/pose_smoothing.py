"""Removes the tracker's noise from a sequence of head poses and keeps the motion.

Each frame's pose is a noisy measurement of a head with random acceleration. The maximum a posteriori motion
minimises ``|pose - measured|² + strength · |acceleration|²``. It equals a Kalman filter run forward and
backward (RTS smoother), solved here as one banded system, and has no lag. ``strength`` is the ratio of
measurement noise to acceleration. It is estimated from the clip for each of six directions, mixtures of
rotation and translation in which noise and acceleration are both independent: heads do not move faster than
``NOISE_BAND_HZ``, so all power above is noise. Whatever the noise, a motion at ``PASSBAND_HZ`` keeps
``PASSBAND_GAIN`` of its amplitude.
"""

from __future__ import annotations

import numpy as np

from jean.geometry import invert_pose, make_pose, nearest_rotation, pose_steps, rotation_matrix

PASSBAND_HZ = 3.0  # a quick nod
PASSBAND_GAIN = 0.95
NOISE_BAND_HZ = 8.0
MIN_FRAMES = 24  # fewer frames do not separate noise from motion


def max_strength(fps: float) -> float:
    """The largest strength at which a motion at ``PASSBAND_HZ`` keeps ``PASSBAND_GAIN`` of its amplitude."""
    curvature = 2 - 2 * np.cos(min(2 * np.pi * PASSBAND_HZ / fps, np.pi))
    return float((1 / PASSBAND_GAIN - 1) / curvature**2)


def noise_and_acceleration(
    poses: np.ndarray, fps: float, noise_shape: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Covariances [6, 6] of the measurement noise and of the true acceleration, per frame squared.

    Args:
        poses: [T, 4, 4], consecutive, T at least ``MIN_FRAMES``.
        fps: frames per second. Below 2 · ``NOISE_BAND_HZ`` the upper part of the spectrum counts as noise.
        noise_shape: see ``smooth_poses``.
    """
    acceleration = np.diff(pose_steps(poses), axis=0)
    window = np.hanning(len(acceleration) + 2)[1:-1]
    spectrum = np.fft.rfft(acceleration * window[:, None], axis=0) / np.sqrt((window**2).sum())
    omega = np.linspace(0, np.pi, len(spectrum))
    gain = (2 - 2 * np.cos(omega)) ** 2  # power gain of the second difference
    high = omega > min(2 * np.pi * NOISE_BAND_HZ / fps, 0.65 * np.pi)
    noise = np.einsum("fi,fj->ij", spectrum[high].conj(), spectrum[high]).real / gain[high].sum()
    if noise_shape is not None:
        inverse = np.linalg.inv(np.linalg.cholesky(noise_shape))
        # lower median of the six directions: a direction with more power at high frequencies contains motion
        noise = noise_shape * max(np.linalg.eigvalsh(inverse @ noise @ inverse.T)[2], 0.0)
    total = acceleration.T @ acceleration / len(acceleration)
    unit = np.sqrt(np.maximum(np.diag(total), 1e-18))
    # 6 = 1² + 2² + 1²: variance of the second difference of white noise
    value, vector = np.linalg.eigh((total - 6 * noise) / np.outer(unit, unit))
    moving = (vector * np.maximum(value, 0.01)) @ vector.T
    return noise, moving * np.outer(unit, unit)


def smooth_poses(
    poses: np.ndarray,
    known: np.ndarray,
    fps: float,
    strength: float | None = None,
    noise_shape: np.ndarray | None = None,
) -> np.ndarray:
    """Smooths poses; returns [T, 4, 4].

    Args:
        poses: measured ``camera_to_world`` [T, 4, 4], finite everywhere.
        known: bool [T]; unknown poses have no weight and follow from their neighbours.
        fps: frames per second.
        strength: of the smoothing in every direction; None estimates it per direction.
        noise_shape: [6, 6], covariance of the measurement noise up to a factor, where it is known: only motion of
            this shape then counts as noise.
    """
    count = len(poses)
    if count < 3:
        return poses.copy()
    view = invert_pose(poses)
    mix, strengths = np.eye(6), np.full(6, 0.0 if strength is None else strength)
    if strength is None:
        runs = [run for run in _runs(known) if len(run) >= MIN_FRAMES]
        if runs:
            parts = [noise_and_acceleration(poses[run], fps, noise_shape) for run in runs]
            lengths = np.array([len(run) for run in runs], float)
            noise, moving = (np.average([part[i] for part in parts], axis=0, weights=lengths) for i in (0, 1))
            mix, strengths = _independent(noise, moving)
        strengths = np.minimum(strengths, max_strength(fps))
    unmix = np.linalg.inv(mix)
    offset = np.zeros((count, 6))
    for _ in range(2):  # rotations add up only to first order; the second iteration removes the remainder
        acceleration = np.diff(pose_steps(invert_pose(view)), axis=0)
        step = np.stack(
            [_whittaker((offset @ mix.T)[:, i], (acceleration @ mix.T)[:, i], known, strengths[i]) for i in range(6)],
            axis=1,
        )
        step = step @ unmix.T
        rotation = nearest_rotation(rotation_matrix(step[:, :3]) @ view[:, :3, :3])
        view = make_pose(rotation, view[:, :3, 3] + step[:, 3:])
        offset = offset + step
    return invert_pose(view)


def _runs(known: np.ndarray) -> list[np.ndarray]:
    """Indices of each run of consecutive known frames."""
    index = np.flatnonzero(known)
    return np.split(index, np.flatnonzero(np.diff(index) > 1) + 1) if len(index) else []


def _independent(noise: np.ndarray, moving: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions [6, 6] in which noise and acceleration are both uncorrelated, and their ratios [6]."""
    scale = 1 / np.sqrt(np.maximum(np.diag(moving), 1e-18))
    moving = moving * np.outer(scale, scale) + 1e-9 * np.eye(6)
    noise = noise * np.outer(scale, scale)
    inverse = np.linalg.inv(np.linalg.cholesky(moving))
    value, vector = np.linalg.eigh(inverse @ noise @ inverse.T)
    return vector.T @ inverse * scale, np.maximum(value, 0.0)


def _whittaker(offset: np.ndarray, acceleration: np.ndarray, known: np.ndarray, strength: float) -> np.ndarray:
    """The correction s [T] that minimises known·|offset + s|² + strength·|acceleration + D² s|²."""
    from scipy.linalg import solveh_banded

    count = len(offset)
    strength = max(strength, 1e-6)  # ties unknown frames to their neighbours
    band = np.zeros((3, count))  # upper form of a banded matrix; row 2 is the diagonal
    band[2] = np.where(known, 1.0, 1e-9)
    for i, a in enumerate((1.0, -2.0, 1.0)):
        for j, b in enumerate((1.0, -2.0, 1.0)):
            if j >= i:
                band[2 - (j - i), j : count - 2 + j] += strength * a * b
    right = np.where(known, -offset, 0.0)
    for i, a in enumerate((1.0, -2.0, 1.0)):
        right[i : count - 2 + i] -= strength * a * acceleration
    return solveh_banded(band, right)
