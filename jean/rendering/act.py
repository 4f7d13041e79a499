"""``jean act``: a voice and an emotion become a clip of tracks, without pictures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.clip import Clip, is_clip
from jean.clips.meta import GeneratedMotion
from jean.clips.writer import ClipWriter
from jean.drivers.motion import Act, generate
from jean.drivers.motion_model import MotionModel, load_motion_model, motion_path
from jean.drivers.motion_sound import FPS
from jean.drivers.motion_tracks import SampledMotion
from jean.drivers.motion_vector import (
    CUES,
    LOWER_POINTS,
    UPPER_POINTS,
    cue_tracks,
    lid_opening,
    opening_of,
    set_opening,
)
from jean.drivers.pose_support import poses_from_motion
from jean.drivers.relocate import relocate, relocate_irises
from jean.errors import InputError, UsageError
from jean.files import sha256
from jean.geometry import Camera
from jean.media import RATE_HZ, count_frames, read_audio
from jean.outputs import claim
from jean.progress import Progress
from jean.rendering.act_config import ActConfig

SIZE_PX = 256  # of the frames in whose pixels the tracks are given
_PIECE = 500  # frames that are computed and written at once


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
    moved = generate(model, config.audio, request, progress.say, given)
    seconds = time.perf_counter() - began
    clip = _write(output, model, moved, config, sha256(path))
    return {
        "output": str(clip.folder),
        "frames": clip.frame_count,
        "fps": config.fps,
        "blinks": len(moved.sampled.onsets),
        "seconds": round(seconds, 3),
        "frames_per_s": round(len(moved) / seconds, 1),
    }


def _given(model: MotionModel, cue: str, folder: Path) -> np.ndarray:
    """A cue of a clip as the motion model takes it, [T, K]."""
    if not is_clip(folder):
        raise InputError(f"{folder} is not a prepared clip.", "Run: jean prepare VIDEO -o DIR")
    clip = Clip.open(folder, pictures=False)
    return model.basis.vectors(cue_tracks(clip, gaze=cue == "eyes"))[:, CUES[cue]]


def _write(folder: Path, model: MotionModel, motion: SampledMotion, config: ActConfig, model_hash: str) -> Clip:
    """Writes the tracks of a mean face that moves so, piece by piece."""
    facts, shape = model.facts, model.network.shape.numpy()
    writer = ClipWriter(folder)
    count = _copy_sound(writer, Path(str(config.audio)), config.fps)
    camera = Camera(facts.focal * SIZE_PX, (SIZE_PX / 2, SIZE_PX / 2), SIZE_PX, SIZE_PX)
    with writer.array_rows(count, len(facts.expression.names)) as file:
        file.write("shape", shape)
        for first in range(0, count, _PIECE):
            frames = np.arange(first, min(first + _PIECE, count))
            positions = np.clip((frames + 0.5) / config.fps * FPS - 0.5, 0, len(motion) - 1)
            tracks = _tracks(model, motion, positions, camera) | {"times_s": frames / config.fps}
            for name, rows in tracks.items():
                file.write(name, rows, first)
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


def _copy_sound(writer: ClipWriter, audio: Path, fps: float) -> int:
    """Writes the sound of a file; returns the number of frames that it lasts. The samples are not kept."""
    wave = read_audio(audio)
    writer.sound(wave)
    return count_frames(len(wave) / RATE_HZ, fps)


def _tracks(model: MotionModel, motion: SampledMotion, positions: np.ndarray, camera: Camera) -> dict[str, np.ndarray]:
    """Per-frame arrays of the clip at some positions [N] in the motion."""
    network = model.network
    shape, face = network.shape.double().numpy(), motion.at(positions)
    closure = face.closure[:, None].repeat(2, 1)
    points = np.repeat(shape[None, :, :2], len(positions), 0)
    open_cm = lid_opening(points[0])
    points[:, UPPER_POINTS] += face.upper
    points[:, LOWER_POINTS] += face.lower
    offsets = set_opening(points, opening_of(closure, open_cm)) - shape[:, :2]
    poses = poses_from_motion(face.pose, network.pose.double().numpy())
    return {
        "valid": np.ones(len(positions), bool),
        "landmarks": relocate(shape, offsets, poses, camera),
        "irises": relocate_irises(shape, offsets, face.gaze_deg, poses, camera),
        "camera_to_world": poses,
        "tracker_camera_to_world": poses,
        "expression": motion.coefficients(positions, network.expression.double().numpy()),
    }
