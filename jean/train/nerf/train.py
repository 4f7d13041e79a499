"""Training the talking head: ``jean train-nerf``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from jean.checkpoint import stored_steps
from jean.drivers.person import write_person
from jean.drivers.person_frames import PersonFrames, open_clips
from jean.environment import pick_device
from jean.files import check_writable
from jean.kernels.dispatch import resolve_backend
from jean.progress import Progress
from jean.train.engine.loop import Schedule, run
from jean.train.nerf.config import NerfConfig, resolved
from jean.train.nerf.inputs import apply_inputs, audio_name, load_inputs, named_means
from jean.train.nerf.model import model_arguments
from jean.train.nerf.stage import NerfStage


def train_nerf(clips: Sequence[Path], output: Path, config: NerfConfig, progress: Progress) -> dict[str, Any]:
    """Learns one person's head from prepared clips, or goes on where an earlier run stopped.

    Args:
        clips: clip folders, or folders of them, of one person.
        output: the run folder.
        config: what to train.
        progress: told how far it is.

    Returns:
        ``heldout_face_psnr_db``, ``heldout_head_psnr_db``, ``train_face_psnr_db``, ``train_head_psnr_db``,
        ``steps``, ``seconds``, ``rays_per_s``, ``backend``.

    Raises:
        InputError: clips without sound or face, or clips that do not belong together.
        SetupError, ArtefactError, DivergedError, Interrupted: see ``jean.train.engine.loop.run``.
    """
    config = resolved(config)
    check_writable(output)
    device = torch.device(pick_device(config.device))
    opened = open_clips(clips)
    inputs = load_inputs(config, opened, progress)
    data = PersonFrames(opened, audio_name(inputs, config), config.expression == "upper")
    apply_inputs(data, inputs, config)
    steps = config.steps or stored_steps(output) or _steps_in(config, data, device, progress)
    config = config.model_copy(update={"steps": steps})
    stage = NerfStage(data, config, device, steps, inputs)
    every = max(1, steps // 8)
    schedule = Schedule(steps, save_every=every, evaluate_every=2 * every, log_every=50, preview_every=2 * every)
    # a time turned into steps does not decide what is learned, backend and graphs only last digits; what was begun with
    # a device's random numbers goes on with them, which the checkpoint says
    compared = config.model_dump(mode="json", exclude={"device", "minutes", "backend", "graphs"}) | inputs.hashes
    backend = resolve_backend(config.backend, device, stage.model.head.trained_by, progress.say)
    progress.say(f"backend: {backend}.")
    if device.type == "cuda":
        progress.say(stage.batches.pictures.line)
        progress.say(f"steps: {'recorded as CUDA graphs' if stage.graphs else 'launched by hand'}.")
    if stage.graphs is not None:
        stage.graphs.warn = progress.warn
    compared["clips"] = [clip.meta["files"] for clip in opened]
    meta = {
        "model": model_arguments(data, config, inputs),
        "fps": opened[0].fps,
        "size_px": data.size_px,
        "tracker": opened[0].meta["tracker"],
        "expression": opened[0].meta["expression"],
        "upper_face": config.expression == "upper",
        "method": config.method,
        "expression_source": inputs.source,
        "speech": config.speech,
        "audio": {data.audio_name: opened[0].meta["audio"][data.audio_name]},
    }
    result = run(
        stage,
        output,
        schedule,
        progress,
        config=compared,
        meta=meta,
        begin=lambda: write_person(
            output, data, opened, named_means(data), stage.lips.cpu().numpy() if config.lip_weight else None
        ),
    )
    return result | {
        "backend": backend,
        "rays_per_s": round(config.rays * result["steps"] / max(result["seconds"], 1e-9)),
    }


def _steps_in(config: NerfConfig, data: PersonFrames, device: torch.device, progress: Progress) -> int:
    """How many steps fit into ``config.minutes`` here, less a tenth for evaluation and saving."""
    assert config.minutes is not None  # a configuration has steps or minutes
    trial = NerfStage(data, config, device, 1000)
    warm, timed = 16, 32  # a card records its steps first; two of the grid's updates fall into 32 steps, as always
    began = 0.0
    for step in range(warm + timed):
        if step == warm:
            began = _now(device)
        trial.step(100 + step)
    steps = max(1, int(0.9 * config.minutes * 60 * timed / (_now(device) - began)))
    progress.say(f"{config.minutes:g} minutes are {steps} steps on this machine.")
    return steps


def _now(device: torch.device) -> float:
    """Seconds, when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
