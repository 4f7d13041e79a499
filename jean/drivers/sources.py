"""The three sources of a render: speech, expression, pose. Each of any length, each at its own rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jean.clips.clip import Clip
from jean.drivers.audio_windows import extract_windows
from jean.drivers.emotion import emotion_track
from jean.drivers.lips import face_offsets
from jean.errors import ArtefactError, InputError
from jean.features import registry
from jean.geometry import blend_poses
from jean.media import count_frames, read_audio, read_frames
from jean.progress import Progress

Repeat = Literal["mirror", "hold"]


@dataclass(frozen=True)
class ExpressionTrack:
    """What a source says of the expression.

    Attributes:
        coefficients: [T, E].
        offsets: [T, 68, 2] cm, of the landmarks beside its own rigid head; None for a video that was
            tracked but not prepared.
        fps: its rate.
    """

    coefficients: np.ndarray
    offsets: np.ndarray | None
    fps: float


def source_positions(times_s: np.ndarray, fps: float, count: int, repeat: Repeat) -> np.ndarray:
    """Fractional frame numbers [T] of a source of ``count`` frames at ``times_s`` [T], middles of frames.

    Frame t of the source stands at (t + 0.5) / ``fps``, as frames of the result do at their own rate.
    Beyond its end a source is played there and back ("mirror", no jump) or stands still ("hold").
    """
    position = np.maximum(np.asarray(times_s) * fps - 0.5, 0.0)
    last = count - 1
    if last <= 0:
        return np.zeros_like(position)
    if repeat == "hold":
        return np.minimum(position, last)
    phase = np.mod(position, 2 * last)
    return np.where(phase > last, 2 * last - phase, phase)


def blend_rows(rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Rows [T, …] at fractional ``positions`` [T], linear in between."""
    low = np.floor(positions).astype(int)
    high = np.minimum(low + 1, len(rows) - 1)
    share = (positions - low).reshape(-1, *[1] * (rows.ndim - 1))
    return rows[low] * (1 - share) + rows[high] * share


def blend_track(poses: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Poses [T, 4, 4] at fractional ``positions`` [T]."""
    low = np.floor(positions).astype(int)
    high = np.minimum(low + 1, len(poses) - 1)
    return blend_poses(poses[low], poses[high], positions - low)


def speech(path: Path, extractor: str, made: dict[str, Any], fps: float) -> np.ndarray:
    """Audio windows [T, window, D] of any file with sound: ⌈duration · fps⌉ frames.

    Args:
        path: the file.
        extractor: its name in the registry; made: its description in the run.
        fps: frames a second of the render.

    Raises:
        InputError: no sound.
        ArtefactError: the extractor is not the one that the run was trained with.
    """
    adapter = registry.create("audio", extractor)
    if str(adapter.version) != str(made["version"]):
        raise ArtefactError(
            f"the run was trained with {extractor} version {made['version']}, here is {adapter.version}.",
            "Train it again, or install the version it was made with.",
        )
    wave = read_audio(path)
    return extract_windows(adapter, wave, count_frames(len(wave) / 16000, fps), fps)


def expression(path: Path, made: dict[str, Any], tracker: dict[str, Any], progress: Progress) -> ExpressionTrack:
    """The expression of a prepared clip or of a video.

    Args:
        path: clip folder or video.
        made: the description of the coefficients that the run was trained with.
        tracker: name and version of the tracker that gave them.
        progress: told while a video is tracked.

    Raises:
        InputError: no face.
        ArtefactError: coefficients of another kind.
    """
    if path.is_dir():
        clip = Clip.open(path, pictures=False)
        theirs = clip.meta["expression"]
        if (theirs["name"], theirs["names"]) != (made["name"], made["names"]):
            raise ArtefactError(
                f"{path} has {theirs['name']} expressions, the run was trained with {made['name']}.",
                f"Prepare it with --tracker {tracker['name']}.",
            )
        return ExpressionTrack(clip.arrays["expression"], face_offsets(clip), clip.fps)
    fps = 25.0
    adapter = registry.create("tracker", tracker["name"], video=path, device="cpu")
    if list(adapter.expression_names) != list(made["names"]):
        raise ArtefactError(
            f"{path} would give other expression coefficients than the run was trained with.",
            f"The run needs tracker {tracker['name']} {tracker['version']}.",
        )
    rows: list[np.ndarray] = []
    with progress.task(f"track {path.name}", None) as advance:
        for faces in adapter.track(read_frames(path, fps=fps)):
            best = max(faces, key=lambda face: np.ptp(face.landmarks[:, 0]), default=None)
            rows.append(np.full(len(made["names"]), np.nan) if best is None else best.expression)
            advance(1)
    track = np.asarray(rows, np.float32)
    seen = ~np.isnan(track).any(1)
    if not seen.any():
        raise InputError(f"{path} shows no face.", "Choose another --expression.")
    for column in track.T:
        column[:] = np.interp(np.arange(len(track)), np.flatnonzero(seen), column[seen])
    return ExpressionTrack(track, None, fps)


def vector_track(
    clip_folder: Path, source: dict[str, Any], embed: Callable[[np.ndarray], np.ndarray] | None
) -> tuple[np.ndarray, float]:
    """Expression vectors [T, E] of a prepared clip, made as the run's were, and their rate.

    Args:
        clip_folder: the clip.
        source: of the run: ``kind`` ("emotion" or "transformer") and ``emotion``, the features' description.
        embed: e_e [T, 64] of a track of features; None for "emotion".

    Raises:
        InputError: no clip, or features that it does not have.
        ArtefactError: features of another version.
    """
    if not clip_folder.is_dir():
        raise InputError(
            f"{clip_folder} is no prepared clip, and this run takes its expression from {source['emotion']['name']}.",
            "Prepare the video first, with the features that the run was trained with.",
        )
    clip = Clip.open(clip_folder, pictures=False)
    track, made = emotion_track(clip, source["emotion"]["name"])
    if made != source["emotion"]:
        raise ArtefactError(
            f"{clip_folder} has {made['name']} features of version {made['version']}, "
            f"the run was trained with {source['emotion']['version']}.",
            "Prepare it again with the same extractor.",
        )
    return (embed(track) if embed else track), clip.fps


def poses(source: Path) -> tuple[np.ndarray, float]:
    """Head poses [T, 4, 4] of a clip folder or a ``.json`` file, and their frames per second.

    Args:
        source: a clip folder, or JSON with ``fps`` and ``camera_to_world`` ([T, 4, 4], head space).

    Raises:
        InputError: neither of the two, or not poses.
    """
    if source.is_dir():
        clip = Clip.open(source, pictures=False)
        return clip.arrays["camera_to_world"], clip.fps
    import json

    try:
        content = json.loads(source.read_text(encoding="utf-8"))
        track, fps = np.asarray(content["camera_to_world"], np.float64), float(content["fps"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{source} is neither a clip folder nor a file of poses.",
            'A file of poses is JSON: {"fps": 25, "camera_to_world": [[[…4×4…]]]}.',
        ) from error
    shaped = track.ndim == 3 and track.shape[1:] == (4, 4) and len(track) > 0
    if not (shaped and np.isfinite(track).all() and np.isfinite(fps) and fps > 0):
        raise InputError(f"{source} holds no poses of 4 × 4 finite numbers with a rate.", "See: docs/rendering.md")
    rotations = track[:, :3, :3]
    if np.abs(rotations @ rotations.swapaxes(1, 2) - np.eye(3)).max() > 1e-2 or np.linalg.det(rotations).min() < 0:
        raise InputError(f"{source} holds matrices that are no rigid poses.", "Rotations must be orthonormal.")
    return track, fps


def retarget_place(track: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Poses with the rotations and movements of ``track`` about the mean place of ``own`` ([T, 4, 4]).

    The rotations stay as they are: the distance depends on the source's camera, the rotation does not.
    """
    theirs, mine = np.linalg.inv(track), np.linalg.inv(own)
    theirs[:, :3, 3] += mine[:, :3, 3].mean(0) - theirs[:, :3, 3].mean(0)
    return np.linalg.inv(theirs)
