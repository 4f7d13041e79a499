"""C6: how long the fast head trains until it is as good as the paper's, against the paper's training in readable torch.

The paper's run was made by the kernels, which torch would have needed days for; so its baseline is its steps times
what one of them takes in readable torch, which goes through the same samples in every step.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from paper_speed import convergence

from jean.checkpoint import load_checkpoint
from jean.drivers.person_frames import PersonFrames
from jean.files import read_json
from jean.train.nerf.config import NerfConfig
from jean.train.nerf.presets import resolve
from jean.train.nerf.train import NerfStage
from jean.tuning import settled_memory

WANTED = 100
SCORE = "heldout_face_psnr_db"
STEPS = 1600  # of the fast head: what its schedule is made for
LOOK_EVERY = 20  # its steps between two looks at the held-out frames
APART = 5  # its steps between two of torch's


def rays_of(run: Path) -> int:
    """Rays a step that a run was trained with."""
    return int(yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["rays"])


def reach(run: Path, data: PersonFrames, rounds: int) -> dict[str, Any]:
    """Seconds of steps until the fast head's held-out faces are as good as the run's, and the ratio to torch's.

    Looks at the held-out frames are not counted on either side. Torch's steps are taken in turn with the fast ones.

    Args:
        run: of the preset paper, of the same clip.
        rounds: torch's steps that are timed, spread over the first of the fast ones.
    """
    wanted, checkpoint = float(read_json(run / "metrics.json")[SCORE]), load_checkpoint(run, stage="nerf")
    paper_config = resolve(NerfConfig(preset="paper", steps=1000, backend="reference", rays=rays_of(run)))
    fast_config = resolve(NerfConfig(steps=STEPS, backend="native"))
    paper = NerfStage(data, paper_config, torch.device("cpu"))
    fast = NerfStage(data, fast_config, torch.device("cpu"))
    torch_wall, torch_cpu, wall, cpu = [], [], 0.0, 0.0
    scores: list[tuple[int, float]] = []
    with settled_memory():
        for step in range(STEPS):
            if step % APART == 0 and step < rounds * APART:
                seconds = _timed(paper, step)
                torch_wall.append(seconds[0])
                torch_cpu.append(seconds[1])
            seconds = _timed(fast, step)
            wall, cpu = wall + seconds[0], cpu + seconds[1]
            if (step + 1) % LOOK_EVERY == 0:
                scores.append((step + 1, fast.evaluate(step)[SCORE]))
                if scores[-1][1] >= wanted:
                    break
    reached = bool(scores) and scores[-1][1] >= wanted
    converged = convergence(run, data)
    baseline, baseline_cpu = (checkpoint.step * float(np.median(each)) for each in (torch_wall, torch_cpu))
    told = {
        "ratio": round(baseline / wall, 1) if reached else None,
        "ratio_cpu": round(baseline_cpu / cpu, 1) if reached else None,
        "paper_psnr_db": round(wanted, 2),
        "fast_psnr_db": [round(score, 2) for _, score in scores],
        "fast_steps": scores[-1][0] if scores else 0,
        "native_s": round(wall, 2),
        "native_cpu_s": round(cpu, 2),
        "baseline_s": round(baseline),
        "baseline_cpu_s": round(baseline_cpu),
        "baseline": f"{checkpoint.step} steps of {paper_config.rays} rays in readable torch, {rounds} of them timed",
        "checkpoint": checkpoint.content_hash,
        "converged": converged,
    }
    held = reached and baseline / wall >= WANTED and bool(converged["held"])
    return told | {"held": held} | ({} if reached else {"reason": f"not as good within {STEPS} steps"})


def _timed(stage: NerfStage, step: int) -> tuple[float, float]:
    """Wall and CPU seconds of one step."""
    began, busy = time.perf_counter(), time.process_time()
    stage.step(step)
    return time.perf_counter() - began, time.process_time() - busy
