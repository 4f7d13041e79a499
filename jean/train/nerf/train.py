"""Training a talking head: ``jean train-nerf``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from jean.checkpoint import stored_steps
from jean.clips.clip import Clip
from jean.drivers.method import Method, bind_method
from jean.drivers.person import is_intact, write_person
from jean.drivers.person_eyes import shows_eyes
from jean.drivers.person_frames import PersonFrames, check_alike, clip_folders, open_clips
from jean.drivers.same_person import refuse_different_people
from jean.environment import pick_device
from jean.errors import InputError
from jean.kernels import library
from jean.models.head.registry import HEADS
from jean.outputs import claim
from jean.progress import Progress
from jean.train.engine import ranks
from jean.train.engine.loop import run
from jean.train.nerf.config import NerfConfig
from jean.train.nerf.duration import TRIAL_STEPS, steps_in, training_schedule
from jean.train.nerf.model import model_arguments, named_means
from jean.train.nerf.presets import ResolvedNerfConfig, resolve
from jean.train.nerf.response import store_responses
from jean.train.nerf.stage import NerfStage

TORCH_SLOWDOWN = 70  # of a training step of 20,000 Gaussians against kernels (docs/benchmarks.md)
FEW_VALID = 0.6  # fraction of frames with the face below which a clip gives a warning


@ranks.joined
def train_nerf(clips: Sequence[Path], output: Path, config: NerfConfig, progress: Progress) -> dict[str, Any]:
    """Trains one person's head on prepared clips, or resumes an interrupted training.

    Args:
        clips: clip folders, or folders of clip folders, of one person.
        output: the run folder.
        config: what to train.
        progress: receives progress and messages.

    Returns:
        ``heldout_face_psnr_db``, ``heldout_head_psnr_db``, ``train_face_psnr_db``, ``train_head_psnr_db``, ``steps``,
        ``seconds``, ``rays_per_s``, ``backend``.

    Raises:
        UsageError: options that contradict each other.
        InputError: clips without sound or face, clips of different people, or the same video twice.
        SetupError, ArtefactError, DivergedError, Interrupted: see ``jean.train.engine.loop.run``.
    """
    began = time.perf_counter()
    trial = resolve(config, TRIAL_STEPS if config.minutes is not None else None)
    device = torch.device(pick_device(config.device))
    folders = clip_folders(clips)
    runs = [path for path in (config.audio_run, config.expression_run) if path is not None]
    claim([*folders, *runs], holders=clips, folders=[output])
    opened = open_clips(folders)
    check_alike(opened)
    if not config.allow_different_people:
        refuse_different_people(opened)
    for clip in opened:
        if (valid := int(clip.arrays["valid"].sum())) < FEW_VALID * clip.frame_count:
            progress.warn(f"{clip.folder} shows the face in only {valid} of {clip.frame_count} frames.")
    trial, config = _with_eyes(trial, config, opened, progress)
    data = PersonFrames(opened, _method(trial, opened, progress), trial.eyes)
    for clip, shift in zip(opened, data.sound_shifts, strict=True):
        if shift:
            word = "late" if shift > 0 else "early"
            progress.say(f"{clip.folder}: the sound is {abs(clip.sound_late_s):.2f} s {word}; training corrects it.")
    _warn_without_kernels(config, device, progress)
    resolved = trial
    if config.minutes is not None:
        steps = stored_steps(output) or steps_in(config.minutes, trial, data, device, progress, began)
        resolved = resolve(config, steps)
    stage = NerfStage(data, resolved, device, progress.say)
    backend = stage.backend.implementation(stage.model.head.trained_by)
    progress.say(f"backend: {backend}.")
    if device.type == "cuda":
        progress.say(stage.batches.images.line)
        progress.say(f"steps: {'recorded as CUDA graphs' if stage.graphs else 'eager'}.")
    if stage.graphs is not None:
        stage.graphs.warn = progress.warn
    clip_hashes: dict[str, Any] = {"clips": [clip.digest() for clip in opened]}
    if any(data.sound_shifts):
        clip_hashes["sound_shifts"] = data.sound_shifts
    result = run(
        stage,
        output,
        training_schedule(resolved.steps),
        progress,
        config=resolved.fingerprint() | data.method.hashes() | clip_hashes,
        meta={
            "model": model_arguments(data, resolved),
            "fps": opened[0].fps,
            "size_px": data.size_px,
            **data.method.metadata(opened[0]),
        },
        begin=lambda: write_person(
            output, data, opened, named_means(data), stage.lips.cpu().numpy() if resolved.lip_weight else None
        ),
        intact=lambda: is_intact(output),
    )
    if ranks.is_first():
        store_responses(stage, output, progress)
    rays_per_s = round(resolved.rays * result["steps"] / max(result["seconds"], 1e-9))
    return result | {"backend": backend, "rays_per_s": rays_per_s}


def _warn_without_kernels(config: NerfConfig, device: torch.device, progress: Progress) -> None:
    """Warns before a training that would take days: torch draws pictures, unlike rays, far more slowly than kernels."""
    if config.backend != "auto" or device.type != "cpu" or not HEADS.load(config.preset).draws_pictures:
        return
    if library.load() is None:
        progress.warn(
            f"the compiled kernels are missing, and torch trains --preset {config.preset} about {TORCH_SLOWDOWN} times "
            f"as slowly. Run: {library.REMEDY} (it needs a C++ compiler), or give --preset fast."
        )


def _method(config: ResolvedNerfConfig, clips: Sequence[Any], progress: Progress) -> Method:
    """The configured method, bound to the clips."""
    return bind_method(
        clips,
        config.row,
        name=config.method,
        audio_run=config.audio_run,
        audio_features=config.audio_features,
        expression_run=config.expression_run,
        emotion_features=config.emotion_features,
        window_s=config.expression_window_s,
        warn=progress.warn,
    )


def _with_eyes(
    resolved: ResolvedNerfConfig, config: NerfConfig, clips: Sequence[Clip], progress: Progress
) -> tuple[ResolvedNerfConfig, NerfConfig]:
    """Both configurations, without the eyes where a clip does not show them.

    Raises:
        InputError: eyes were asked for, and a clip has no irises.
    """
    blind = next((clip for clip in clips if not shows_eyes(clip)), None)
    if not resolved.eyes or blind is None:
        return resolved, config
    if config.eyes:
        raise InputError(
            f"{blind.folder} has no irises in most frames, so it does not say where the eyes look.",
            "Leave --set eyes away, or prepare it with another --tracker.",
        )
    progress.say(f"gaze and lids are no inputs of this head: {blind.folder} has no irises in most frames.")
    without = config.model_copy(update={"eyes": False})
    return resolve(without, resolved.steps if config.minutes is not None else None), without
