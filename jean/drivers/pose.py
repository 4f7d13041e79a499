"""Head poses as drivers: reading, retargeting and smoothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jean.clips.clip import Clip
from jean.documents import parse_object
from jean.errors import InputError
from jean.geometry import is_rigid, mean_pose


def read_poses(source: Path) -> tuple[np.ndarray, float]:
    """Head poses of a clip folder or a JSON file.

    Args:
        source: a clip folder, or JSON with ``fps`` and ``camera_to_world`` ([T, 4, 4], head space, cm).

    Returns:
        camera_to_world [T, 4, 4] and the frames per second.

    Raises:
        InputError: ``source`` is neither of the two, or holds no rigid poses.
    """
    if source.is_dir():
        clip = Clip.open(source, pictures=False)
        return clip.arrays["camera_to_world"], clip.fps
    try:
        content = parse_object(source.read_bytes())
        track, fps = np.asarray(content["camera_to_world"], np.float64), float(content["fps"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(
            f"{source} is neither a clip folder nor a file of poses.",
            'A file of poses is JSON: {"fps": 25, "camera_to_world": [[[…4×4…]]]}.',
        ) from error
    shaped = track.ndim == 3 and track.shape[1:] == (4, 4) and len(track) > 0
    if not (shaped and np.isfinite(track).all() and np.isfinite(fps) and fps > 0):
        raise InputError(
            f"{source} does not hold poses of 4 × 4 finite numbers and a positive frame rate.",
            'Write: {"fps": 25, "camera_to_world": [[[…4×4…]]]}.',
        )
    if not is_rigid(track):
        raise InputError(f"{source} holds matrices that are not rigid poses.", "Rotations must be orthonormal.")
    return track, fps


def retarget_position(camera_to_world: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Poses [T, 4, 4] moved so that their mean head position is that of the poses ``own``.

    The rotations stay as they are. The position does not, because the distance depends on the source's camera.
    """
    head, own_head = np.linalg.inv(camera_to_world), np.linalg.inv(own)
    head[:, :3, 3] += own_head[:, :3, 3].mean(0) - head[:, :3, 3].mean(0)
    return np.linalg.inv(head)


def smooth_poses(camera_to_world: np.ndarray, std_s: float, fps: float) -> np.ndarray:
    """Poses [T, 4, 4] averaged over time with a Gaussian of standard deviation ``std_s``, seconds."""
    std = std_s * fps
    reach = int(np.ceil(3 * std))
    if reach < 1:
        return camera_to_world
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / std) ** 2)
    # the track is mirrored at both ends, which pulls nothing towards the first or last pose
    index = np.abs(np.arange(-reach, len(camera_to_world) + reach))
    last = len(camera_to_world) - 1
    index = np.minimum(np.where(index > last, np.abs(2 * last - index), index), last)
    windows = [index[t : t + 2 * reach + 1] for t in range(len(camera_to_world))]
    return np.stack([mean_pose(camera_to_world[window], weights) for window in windows])
