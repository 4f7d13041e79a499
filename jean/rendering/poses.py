"""Where the head is in every frame, and how the camera moves around it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from jean.clips.clip import Clip
from jean.drivers import sources
from jean.drivers.filters import calmed
from jean.drivers.person import Person
from jean.geometry import rotation_matrix
from jean.rendering.config import RenderConfig

ORBIT_PERIOD_S = 4.0


def head_poses(
    config: RenderConfig, person: Person, times: np.ndarray, fps: float
) -> tuple[np.ndarray, np.ndarray | None]:
    """Poses [T, 4, 4] at ``times`` [T], s, and the training clip's frames [T] that they belong to (None: to none)."""
    poses, own_frames = _sourced(config, person, times, fps)
    if config.pose_smoothing:
        poses = calmed(poses, config.pose_smoothing, fps)
    return poses, own_frames


def _sourced(
    config: RenderConfig, person: Person, times: np.ndarray, fps: float
) -> tuple[np.ndarray, np.ndarray | None]:
    own = person.camera_to_world
    if config.pose == "still":
        # the frame nearest to the mean place: a real pose, not an average of rotations
        middle = int(np.argmin(np.linalg.norm(own[:, :3, 3] - own[:, :3, 3].mean(0), axis=1)))
        return np.repeat(own[middle : middle + 1], len(times), 0), np.full(len(times), middle)
    there = (person.clip / "clip.json").exists()
    source_fps, track, is_own = Clip.open(person.clip).fps if there else fps, own, True
    if config.pose is not None:
        source = Path(config.pose)
        is_own = source.resolve() == person.clip
        track, source_fps = sources.poses(source)
        if config.pose_mode == "relative" and not is_own:
            track = person.support.pose.retarget(track)
        elif source.is_dir() and not is_own:
            track = sources.retarget_place(track, own)
    positions = sources.source_positions(times, source_fps, len(track), config.repeat)
    return sources.blend_track(track, positions), np.round(positions).astype(int) if is_own else None


def orbit_camera(poses: np.ndarray, config: RenderConfig, times: np.ndarray) -> np.ndarray:
    """Poses [T, 4, 4] as seen from a camera that has moved around the head's origin."""
    yaw = np.radians(config.yaw + config.orbit * np.sin(2 * math.pi * times / ORBIT_PERIOD_S))
    pitch = np.full_like(yaw, math.radians(config.pitch))
    if not (np.any(yaw) or np.any(pitch)):
        return poses
    turn = np.zeros((len(poses), 4, 4))
    turn[:, 3, 3] = 1
    turn[:, :3, :3] = rotation_matrix(np.stack([0 * yaw, yaw, 0 * yaw], -1)) @ rotation_matrix(
        np.stack([pitch, 0 * yaw, 0 * yaw], -1)
    )
    return turn @ poses
