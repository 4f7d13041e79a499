"""Drivers of a result: speech, expression and pose per frame, at its frame rate, limited to the support."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from jean.checkpoint import Checkpoint
from jean.drivers.eyes import GAZE
from jean.drivers.gaze_response import GazeResponse
from jean.drivers.lip_response import LipResponse
from jean.drivers.method import Method
from jean.drivers.person import Person
from jean.drivers.resampling import Repeat
from jean.drivers.slow import parted_mouth
from jean.drivers.tracks import DriverTracks
from jean.drivers.voice import VoiceDetector, voice_detector
from jean.features.audio import silero
from jean.models.talking_head import Frames, TalkingHead
from jean.progress import Progress
from jean.rendering.config import RenderConfig
from jean.rendering.expression import ResultExpression, expressions
from jean.rendering.eyes import corrected_gaze, refuse_eye_options, result_eyes, with_eyes
from jean.rendering.limits import NOTABLE, Reduction, warn_of_reductions
from jean.rendering.lips import (
    held_lips,
    held_mouth,
    held_reach_s,
    lip_style,
    lips_by_encoder,
    lips_by_prior,
    prior_path,
)
from jean.rendering.motion import motion_source, moved_person
from jean.rendering.poses import head_poses, orbit_camera
from jean.row_file import in_blocks
from jean.weights.provide import provide


@dataclass(frozen=True)
class Drive:
    """Drivers of the T frames of a result.

    Attributes:
        tracks: the drivers, on the head's device.
        size_px: side of the result's frames.
        own_frames: frame of the training clip [T] that each pose belongs to; None where the poses come from elsewhere.
        reductions: how much the support limit has reduced each driver, by name.
        fps: frames per second of the result.
        repeat: how sources that are too short continue.
    """

    tracks: DriverTracks
    size_px: int
    own_frames: np.ndarray | None
    reductions: dict[str, Reduction]
    fps: float
    repeat: Repeat

    def __len__(self) -> int:
        return len(self.tracks)

    def frame(self, index: int) -> Frames:
        """The head's inputs for one frame."""
        return self.tracks.frames(index)


def gather_drivers(
    config: RenderConfig,
    checkpoint: Checkpoint,
    model: TalkingHead,
    person: Person,
    fps: float,
    size: int,
    progress: Progress,
) -> Drive:
    """Reads the three sources and limits them to the person's support. The speech decides the number of frames.

    Args:
        config: the sources; ``audio`` must be given.
        checkpoint: of the head.
        model: the head.
        person: the person of the run.
        fps: frames per second of the result.
        size: side of the result's frames, px.
        progress: receives progress, warnings and messages.

    Raises:
        UsageError: an unknown expression, or an expression for a run without one.
        InputError: a source without sound, face or poses.
        ArtefactError: a source that was prepared with other features than the run's.
    """
    assert config.audio is not None  # checked by the callers
    meta, method, support = checkpoint.payload["meta"], Method.of_run(checkpoint), person.support
    own_fps = float(meta["fps"])
    refuse_eye_options(config, person.eyes)
    gate = None
    if config.silence_gate:
        provide([], [silero.WEIGHTS], progress)
        gate = voice_detector()
        progress.say(_describe_gate(gate))
    prior = prior_path(config, checkpoint, method)
    lip_support, lip_motion = support.lips, None
    if prior is None:
        windows = method.speech.windows_of_file(config.audio, fps, gate)
        lips = lips_by_encoder(model, windows, meta["model"].get("audio_attention", 0), fps / own_fps)
    else:
        style, lip_support = lip_style(person, model, checkpoint)
        wanted = lips_by_prior(prior, config, style, LipResponse.read(checkpoint), fps, gate)
        lips, lip_motion = style.coordinates(style.seen(wanted)), style.coordinates(wanted)
    count = len(lips)
    times = (np.arange(count) + 0.5) / fps
    expressed = expressions(config, method.expression, person, times, own_fps, progress)
    shape = np.array(meta["model"]["shape"], np.float64)
    reach_s = held_reach_s(config, checkpoint, method)
    held = held_mouth(config, reach_s, person, shape, expressed.offsets, fps)
    replaced = None if held is None else parted_mouth(lips, fps, reach_s)[1]
    poses, own_frames = head_poses(config, person, times, fps, own_fps, str(meta["tracker"]["name"]), progress)
    moving = motion_source(config)
    if moving is not None:
        given = poses if config.pose is not None else None
        moved = moved_person(moving, config, checkpoint, model, person, times, given, progress)
        if config.expression is None and config.expression_timeline is None:
            expressed = ResultExpression(moved.expression, moved.offsets, 1.0, moved.eyes)
            held, replaced = moved.held if prior is not None else None, None
        if config.pose is None:
            poses, own_frames = moved.poses, None
    if held is not None:
        added = held_lips(model, person.offsets, shape, held, replaced)
        if lip_support is not None:
            added = added * lip_support.share_beside(lips, added)
        lips, lip_motion = lips + added, None if lip_motion is None else lip_motion + added
    remaining: dict[str, np.ndarray] = {}
    if config.expression is not None:
        remaining["expression_mean"] = np.full(count, expressed.mean_kept)
    expression, remaining["expression"] = support.expression.limit(expressed.vectors)
    offsets, remaining["upper_offsets"], lower = support.limit_offsets(expressed.offsets)
    if not method.audio_drives_mouth:
        remaining["lower_offsets"] = lower
    torso_poses = support.pose.limit(poses)[0]
    poses, remaining["pose"] = support.pose.turn_further(poses, torso_poses)
    if lip_support is not None:
        lips, remaining["lips"] = lip_support.limit(lips)
        if lip_motion is not None:
            lip_motion, remaining["lips"] = lip_support.limit(lip_motion)
    turned = orbit_camera(poses, config, times)
    eyes = None
    if person.eyes is not None:
        assert expressed.eyes is not None
        asked = result_eyes(config, person.eyes, expressed.eyes, turned, times)
        eyes, remaining["gaze"], remaining["blink"] = person.eyes.limit(asked)
        offsets = with_eyes(offsets, person.eyes, eyes)
        response = GazeResponse.read(checkpoint)
        if response is not None:
            eyes[:, GAZE] = corrected_gaze(response, person.eyes, eyes, turned, config.gaze is not None)
    reductions = {name: Reduction.of(fraction) for name, fraction in remaining.items()}
    warn_of_reductions(reductions, config, progress.warn)
    poses = turned
    if (config.yaw or config.pitch or config.orbit) and support.pose.limit(poses)[1].min() < 1 - NOTABLE:
        progress.warn("--yaw, --pitch or --orbit turn the head further than in training: its sides may break up.")
    camera = person.camera.resized(size)
    tracks = DriverTracks(
        camera_to_world=_tensor(poses),
        focal_px=torch.full((count,), camera.focal_px),
        center_px=torch.tensor(camera.center_px).expand(count, 2),
        expression=_tensor(expression),
        offsets=_tensor(offsets),
        lips=_tensor(lips),
        lip_motion=None if lip_motion is None else _tensor(lip_motion),
        torso_camera_to_world=_tensor(torso_poses),
        eyes=None if eyes is None else _tensor(eyes),
    )
    return Drive(tracks.to(model.device), size, own_frames, reductions, fps, config.repeat)


def _tensor(track: np.ndarray) -> torch.Tensor:
    """A track [T, …] in single precision."""
    return torch.from_numpy(in_blocks(lambda rows: rows.astype(np.float32), track))


def _describe_gate(gate: VoiceDetector) -> str:
    """One line that says what decides where the mouth closes."""
    if gate.name == "loudness":
        return f"silence gate: by loudness, which fails in noise. For noise: jean models pull {silero.WEIGHTS}"
    return f"silence gate: {gate.name}."
