"""Head poses of a result, and the camera that moves around the head."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from jean.drivers.person import Person
from jean.drivers.pose import read_poses, retarget_position, smooth_poses
from jean.drivers.pose_support import NECK
from jean.drivers.resampling import interpolate_poses, source_positions
from jean.geometry import rotation_matrix
from jean.progress import Progress
from jean.rendering.config import RenderConfig

ORBIT_PERIOD_S = 4.0  # of the camera's swing
STILL = "still"


def head_poses(
    config: RenderConfig,
    person: Person,
    times: np.ndarray,
    fps: float,
    own_fps: float,
    tracker: str,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Head poses of the result, before the support limit.

    Args:
        config: the pose source.
        person: the person of the run.
        times: middles of the result's frames [T], s.
        fps: frames per second of the result.
        own_fps: frames per second of the training clip.
        tracker: finds the head in a video.
        progress: receives progress while a video is tracked.

    Returns:
        camera_to_world [T, 4, 4], and the frames of the training clip [T] that they belong to; None where the poses
        come from elsewhere.
    """
    poses, own_frames = _source_poses(config, person, times, own_fps, tracker, progress)
    if config.pose_smoothing:
        poses = smooth_poses(poses, config.pose_smoothing, fps)
    return poses, own_frames


def _source_poses(
    config: RenderConfig, person: Person, times: np.ndarray, own_fps: float, tracker: str, progress: Progress
) -> tuple[np.ndarray, np.ndarray | None]:
    own = person.camera_to_world
    if config.pose == STILL:
        index = person.still_index()
        return np.repeat(own[index : index + 1], len(times), 0), np.full(len(times), index)
    track, source_fps, is_own = own, own_fps, True
    if config.pose is not None:
        source = Path(config.pose)
        is_own = source.resolve() == person.clip
        track, source_fps = read_poses(source, tracker, progress)
        if config.pose_mode == "relative" and not is_own:
            track = person.support.pose.retarget(track)
        elif source.suffix.lower() != ".json" and not is_own:
            track = retarget_position(track, own)
    positions = source_positions(times, source_fps, len(track), config.repeat)
    return interpolate_poses(track, positions), np.round(positions).astype(int) if is_own else None


def orbit_camera(poses: np.ndarray, config: RenderConfig, times: np.ndarray) -> np.ndarray:
    """Poses [T, 4, 4] after a rotation of the camera around the neck, where the torso, which does not turn, begins.

    Args:
        poses: camera_to_world [T, 4, 4].
        config: ``yaw``, ``pitch`` and ``orbit``.
        times: middles of the result's frames [T], s.
    """
    yaw = np.radians(config.yaw + config.orbit * np.sin(2 * math.pi * times / ORBIT_PERIOD_S))
    pitch = np.full_like(yaw, math.radians(config.pitch))
    if not (np.any(yaw) or np.any(pitch)):
        return poses
    turn = np.zeros((len(poses), 4, 4))
    turn[:, 3, 3] = 1
    turn[:, :3, :3] = rotation_matrix(np.stack([0 * yaw, yaw, 0 * yaw], -1)) @ rotation_matrix(
        np.stack([pitch, 0 * yaw, 0 * yaw], -1)
    )
    turn[:, :3, 3] = NECK - turn[:, :3, :3] @ NECK
    return turn @ poses
