"""``jean act``: a voice and an emotion become a clip of tracks, without pictures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.clip import Clip, is_clip
from jean.clips.meta import GeneratedMotion
from jean.clips.writer import ClipWriter
from jean.drivers.motion import Act, Motion, generate
from jean.drivers.motion_model import MotionModel, load_motion_model, motion_path
from jean.drivers.motion_sampling import Sampled
from jean.drivers.motion_sound import FPS
from jean.drivers.motion_vector import (
    CUES,
    LOWER_POINTS,
    UPPER_POINTS,
    cue_tracks,
    expression_inputs,
    lid_opening,
    opening_of,
    set_opening,
)
from jean.drivers.pose_support import poses_from_motion
from jean.drivers.relocate import relocate, relocate_irises
from jean.drivers.resampling import interpolate_poses, interpolate_rows
from jean.errors import InputError, UsageError
from jean.files import sha256
from jean.geometry import Camera
from jean.media import RATE_HZ, count_frames, read_audio
from jean.outputs import claim
from jean.progress import Progress
from jean.rendering.act_config import ActConfig

SIZE_PX = 256  # of the frames in whose pixels the tracks are given
_PIECE = 3000  # frames whose landmarks are computed at once


def act(motion: str | Path, config: ActConfig, output: Path, progress: Progress) -> dict[str, Any]:
    """Writes a clip without pictures whose face, eyes and head move as a motion model says.

    Args:
        motion: "builtin", or a run of ``train_motion``.
        config: speech, emotion, and cues that are given.
        output: the clip folder.
        progress: receives messages.

    Returns:
        ``output``, ``frames``, ``fps``, ``blinks``, ``seconds`` and ``frames_per_s`` of the generation.

    Raises:
        UsageError: no speech, or an emotion that the model does not know.
        InputError: a source without sound or face, or no motion model.
        ArtefactError: a damaged motion model.
    """
    if config.audio is None:
        raise UsageError("no speech was given.", "Add --audio FILE.")
    if config.emotion is not None and config.emotion_timeline is not None:
        raise UsageError("--emotion and --emotion-timeline contradict each other.", "Give one of them.")
    path = motion_path(motion)
    named = {"face": config.expression, "eyes": config.gaze, "pose": config.pose}
    clips = {cue: clip for cue, clip in named.items() if clip is not None}
    inputs = [path, config.audio, *clips.values(), *([config.emotion_timeline] if config.emotion_timeline else [])]
    claim(inputs, folders=[output])
    if any(output.iterdir()) and not is_clip(output):
        raise UsageError(f"{output} holds other files.", "Choose another --output.")
    model = load_motion_model(path)
    began = time.perf_counter()
    given = {cue: _given(model, cue, clip) for cue, clip in clips.items()}
    request = Act(config.emotion, config.emotion_timeline, config.seed)
    moved, sampled = generate(model, config.audio, request, progress.say, given)
    seconds = time.perf_counter() - began
    wave = read_audio(config.audio)
    count = count_frames(len(wave) / RATE_HZ, config.fps)
    clip = _write(output, model, moved, sampled, config, wave, count, sha256(path))
    return {
        "output": str(clip.folder),
        "frames": count,
        "fps": config.fps,
        "blinks": len(sampled.onsets),
        "seconds": round(seconds, 3),
        "frames_per_s": round(len(moved) / seconds, 1),
    }


def _given(model: MotionModel, cue: str, folder: Path) -> np.ndarray:
    """A cue of a clip as the motion model takes it, [T, K]."""
    if not is_clip(folder):
        raise InputError(f"{folder} is not a prepared clip.", "Run: jean prepare VIDEO -o DIR")
    clip = Clip.open(folder, pictures=False)
    return model.basis.vectors(cue_tracks(clip, gaze=cue == "eyes"))[:, CUES[cue]]


def _write(
    folder: Path,
    model: MotionModel,
    moved: Motion,
    sampled: Sampled,
    config: ActConfig,
    wave: np.ndarray,
    count: int,
    model_hash: str,
) -> Clip:
    """Writes the tracks of a mean face that moves so."""
    network, facts = model.network, model.facts
    shape = network.shape.double().numpy()
    positions = np.clip((np.arange(count) + 0.5) / config.fps * FPS - 0.5, 0, len(moved) - 1)
    poses = poses_from_motion(moved.pose, network.pose.double().numpy())
    poses = interpolate_poses(poses, positions)
    camera = Camera(facts.focal * SIZE_PX, (SIZE_PX / 2, SIZE_PX / 2), SIZE_PX, SIZE_PX)
    pieces = [slice(first, first + _PIECE) for first in range(0, count, _PIECE)]
    tracks = [_tracks(model, moved, sampled, positions[piece], poses[piece], camera) for piece in pieces]
    writer = ClipWriter(folder)
    writer.arrays(
        {
            "times_s": np.arange(count) / config.fps,
            "valid": np.ones(count, bool),
            **{name: np.concatenate([piece[name] for piece in tracks]) for name in tracks[0]},
            "camera_to_world": poses,
            "tracker_camera_to_world": poses,
            "shape": shape.astype(np.float32),
        }
    )
    writer.sound(wave)
    emotion = config.emotion or ("timeline" if config.emotion_timeline else "neutral")
    return writer.finish(
        pictures=False,
        frames=count,
        size_px=SIZE_PX,
        fps=config.fps,
        camera={"focal_px": camera.focal_px, "center_px": list(camera.center_px)},
        tracker=facts.tracker,
        expression=facts.expression,
        valid=count,
        generated=GeneratedMotion(model_sha256=model_hash, emotion=emotion, seed=config.seed),
    )


def _tracks(
    model: MotionModel, moved: Motion, sampled: Sampled, positions: np.ndarray, poses: np.ndarray, camera: Camera
) -> dict[str, np.ndarray]:
    """Landmarks, irises and expression coefficients at some positions in the motion, float32."""
    network = model.network
    shape = network.shape.double().numpy()
    closure = interpolate_rows(moved.closure[:, None].repeat(2, 1), positions)
    points = np.repeat(shape[None, :, :2], len(positions), 0)
    open_cm = lid_opening(points[0])
    points[:, UPPER_POINTS] += interpolate_rows(moved.upper, positions)
    points[:, LOWER_POINTS] += interpolate_rows(moved.lower, positions)
    offsets = set_opening(points, opening_of(closure, open_cm)) - shape[:, :2]
    gaze_deg = interpolate_rows(moved.gaze_deg, positions)
    inputs = expression_inputs(
        interpolate_rows(sampled.vectors, positions), interpolate_rows(sampled.lips, positions), closure
    )
    return {
        "landmarks": relocate(shape, offsets, poses, camera).astype(np.float32),
        "irises": relocate_irises(shape, offsets, gaze_deg, poses, camera).astype(np.float32),
        "expression": (inputs @ network.expression.double().numpy()).astype(np.float32),
    }
