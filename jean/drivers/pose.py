"""Head poses as drivers: reading, tracking, retargeting and smoothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jean.clips.clip import Clip
from jean.documents import parse_object
from jean.drivers.resampling import VIDEO_FPS
from jean.errors import InputError
from jean.features import registry
from jean.features.base import largest
from jean.geometry import fill_poses, is_rigid, mean_pose
from jean.media import is_sequence, read_frames
from jean.progress import Progress
from jean.weights.provide import provide

TRACKER_NOISE_S = 0.04  # standard deviation of the smoothing of tracked poses: one frame of the tracker's jitter


def read_poses(source: Path, tracker: str, progress: Progress) -> tuple[np.ndarray, float]:
    """Head poses of a clip folder, a JSON file or a video.

    Args:
        source: a clip folder, JSON with ``fps`` and ``camera_to_world`` ([T, 4, 4], head space, cm), or a video.
        tracker: finds the head in a video.
        progress: receives progress while a video is tracked.

    Returns:
        camera_to_world [T, 4, 4] and the frames per second.

    Raises:
        InputError: ``source`` is none of these, holds no rigid poses, or shows no head.
        SetupError: the tracker, or its weights, are missing.
    """
    if is_sequence(source) or (source.is_file() and not _is_json(source)):
        return track_poses(source, tracker, progress), VIDEO_FPS
    if source.is_dir():
        clip = Clip.open(source, pictures=False)
        return clip.arrays["camera_to_world"], clip.fps
    try:
        content = parse_object(source.read_bytes())
        track, fps = np.asarray(content["camera_to_world"], np.float64), float(content["fps"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(
            f"{source} is neither a clip folder, nor a video, nor a file of poses.",
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


def track_poses(video: Path, tracker: str, progress: Progress) -> np.ndarray:
    """Poses of the largest head in each frame of a video, camera_to_world [T, 4, 4] at ``VIDEO_FPS``.

    They are the tracker's own, for the focal length that it assumes; ``jean prepare`` fits better ones. Frames without
    a face get poses between those of their neighbours.

    Raises:
        InputError: no frame shows a face, or the tracker gives no poses.
        SetupError: the tracker, or its weights, are missing.
    """
    provide(*registry.weights_of("tracker", tracker), progress)
    extractor = registry.create("tracker", tracker, video=video, device="cpu")
    rows: list[np.ndarray] = []
    with progress.task(f"track {video.name}", None) as advance:
        for faces in extractor.track(read_frames(video, VIDEO_FPS, warn=progress.warn)):
            face = largest(faces)
            if face is not None and face.camera_to_world is None:
                remedy = f"Prepare {video.name}, and give its clip."
                raise InputError(f"the tracker {tracker} gives no head poses.", remedy)
            rows.append(np.full((4, 4), np.nan) if face is None else np.asarray(face.camera_to_world))
            advance(1)
    poses = np.array(rows)
    valid = np.isfinite(poses).all((1, 2))
    if not valid.any():
        raise InputError(f"{video} shows no face.", "Choose another --pose.")
    return smooth_poses(fill_poses(poses, valid), TRACKER_NOISE_S, VIDEO_FPS)


def _is_json(path: Path) -> bool:
    if path.suffix.lower() == ".json":
        return True
    with open(path, "rb") as handle:
        return handle.read(64).lstrip()[:1] in (b"{", b"[")


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
