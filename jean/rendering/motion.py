"""Generated motion of a result: by a motion model, or that of a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jean.checkpoint import Checkpoint
from jean.clips.clip import Clip, is_clip
from jean.drivers.method import Method
from jean.drivers.motion import Act, generate
from jean.drivers.motion_model import BUILTIN_NAME, load_motion_model, motion_path
from jean.drivers.motion_sound import FPS
from jean.drivers.motion_tracks import Motion, MotionTrack, RepeatedMotion
from jean.drivers.motion_vector import CUES, POSE_UNIT, MotionBasis, cue_tracks
from jean.drivers.person import Person
from jean.drivers.person_motion import TOLD, MovedPerson, move_person
from jean.drivers.pose_support import mean_head_pose, pose_motion
from jean.drivers.resampling import interpolate_rows, source_positions
from jean.errors import ArtefactError, UsageError
from jean.models.talking_head import TalkingHead
from jean.progress import Progress
from jean.rendering.config import RenderConfig
from jean.rendering.eyes import eye_clips

TRUE_LANDMARKS = "truth"  # tracker of synthetic clips: the points that every tracker looks for


def motion_source(config: RenderConfig) -> Path | None:
    """File of the motion model, or the clip, that moves the head; None where the training clip or other sources do.

    ``--emotion`` without ``--motion`` stands for the motion model of the package.

    Raises:
        UsageError: options that contradict each other.
        InputError: ``--motion`` names nothing that moves.
    """
    wanted = config.emotion is not None or config.emotion_timeline is not None
    if config.motion is None and not wanted:
        return None
    if config.emotion is not None and config.emotion_timeline is not None:
        raise UsageError("--emotion and --emotion-timeline contradict each other.", "Give one of them.")
    name = config.motion or BUILTIN_NAME
    if is_clip(name):
        if wanted:
            raise UsageError("--motion names a clip, whose emotion is fixed.", "Leave --emotion away.")
        return Path(name)
    return motion_path(name)


def moved_person(
    source: Path,
    config: RenderConfig,
    checkpoint: Checkpoint,
    model: TalkingHead,
    person: Person,
    times_s: np.ndarray,
    poses: np.ndarray | None,
    progress: Progress,
) -> MovedPerson:
    """The person of a run, moved by a motion model or a clip.

    Args:
        source: from ``motion_source``.
        config: speech, emotion and seed; sources of other cues, which the motion fits.
        checkpoint: of the head.
        model: the head.
        person: the person of the run.
        times_s: middles of the result's frames [T], s.
        poses: head poses of the result [T, 4, 4] from another source; None where the motion decides them.
        progress: receives what the voice sounds like.
    """
    assert config.audio is not None
    meta, method = checkpoint.payload["meta"], Method.of_run(checkpoint)
    motion: MotionTrack
    if is_clip(source):
        motion = _clip_motion(source, config, times_s)
    else:
        motion_model = load_motion_model(source)
        require_tracker(source, motion_model.facts.tracker.name, str(meta["tracker"]["name"]))
        given = _given(config, motion_model.basis, times_s, poses)
        act = Act(config.emotion, config.emotion_timeline, config.seed)
        motion = generate(motion_model, config.audio, act, progress.say, given)
    names = method.expression.coefficient_names()
    shape = np.array(meta["model"]["shape"], np.float64)
    moved = move_person(motion, person, shape, names, times_s)
    if moved.told < TOLD:
        progress.say(
            f"the face tells only {moved.told:.0%} of this head's expression vector: its expression will be weak."
        )
    return moved


def _clip_motion(source: Path, config: RenderConfig, times_s: np.ndarray) -> RepeatedMotion:
    """The motion of a clip, continued as ``--repeat`` says."""
    motion = Motion.of_clip(Clip.open(source, pictures=False))
    count = int(np.ceil(float(times_s[-1]) * FPS)) + 1
    return RepeatedMotion(motion, source_positions((np.arange(count) + 0.5) / FPS, FPS, len(motion), config.repeat))


def _given(
    config: RenderConfig, basis: MotionBasis, times_s: np.ndarray, poses: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Cues that come from other sources, as the motion model takes them; a video's face is not among them."""
    given = {}
    count = int(np.ceil(float(times_s[-1]) * FPS)) + 1
    own = np.interp((np.arange(count) + 0.5) / FPS, times_s, np.arange(len(times_s)))
    if poses is not None:
        track = pose_motion(poses, mean_head_pose(poses))
        given["pose"] = interpolate_rows(track, own) / POSE_UNIT
    if config.expression is not None and is_clip(config.expression):
        clip = Clip.open(config.expression, pictures=False)
        track = basis.vectors(cue_tracks(clip, gaze=False))[:, CUES["face"]]
        positions = source_positions((np.arange(count) + 0.5) / FPS, FPS, len(track), config.repeat)
        given["face"] = interpolate_rows(track, positions)
    eyes = eye_clips(config).get("gaze") or eye_clips(config).get("blink")
    if eyes is not None:
        track = basis.vectors(cue_tracks(Clip.open(eyes, pictures=False)))[:, CUES["eyes"]]
        positions = source_positions((np.arange(count) + 0.5) / FPS, FPS, len(track), config.repeat)
        given["eyes"] = interpolate_rows(track, positions)
    return given


def require_tracker(source: Path, trained_on: str, tracker: str) -> None:
    """Refuses a motion model whose landmarks mean other points than the head's; true landmarks suit any tracker.

    Raises:
        ArtefactError: they do.
    """
    if TRUE_LANDMARKS not in (trained_on, tracker) and trained_on != tracker:
        raise ArtefactError(
            f"{source} was trained on landmarks of {trained_on}, the head on those of {tracker}.",
            "Train the motion model on clips of the head's tracker, or use --motion builtin.",
        )
