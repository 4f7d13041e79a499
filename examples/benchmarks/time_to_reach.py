"""C6 for ``train_speed.py``: training time until the fast head equals the paper's, over that of the paper's in torch.

The paper's run is trained with the kernels, as torch would take hours. So the baseline is extrapolated: the number of
steps times the time of a step in torch. Every step has the same number of samples.
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

TARGET_RATIO = 100
SCORE = "heldout_face_psnr_db"
STEPS = 1600  # length of the fast head's learning-rate schedule
EVALUATION_INTERVAL = 20  # steps of the fast head between two evaluations
TORCH_INTERVAL = 5  # steps of the fast head between two timed torch steps


def rays_of(run: Path) -> int:
    """Rays per step of a run."""
    return int(yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["rays"])


def reach(run: Path, data: PersonFrames, rounds: int) -> dict[str, Any]:
    """Training seconds until the fast head reaches the held-out face PSNR of a run, and the ratio to torch.

    Evaluations are not counted on either side. Torch steps alternate with steps of the fast head.

    Args:
        run: of the preset paper, trained on the same clip.
        data: the clip.
        rounds: number of timed torch steps.
    """
    paper_psnr_db, checkpoint = float(read_json(run / "metrics.json")[SCORE]), load_checkpoint(run, stage="nerf")
    paper_config = resolve(NerfConfig(preset="paper", steps=1000, backend="reference", rays=rays_of(run)))
    fast_config = resolve(NerfConfig(preset="fast", steps=STEPS, backend="native"))
    paper = NerfStage(data, paper_config, torch.device("cpu"))
    fast = NerfStage(data, fast_config, torch.device("cpu"))
    torch_wall, torch_cpu, wall, cpu = [], [], 0.0, 0.0
    scores: list[tuple[int, float]] = []
    with settled_memory():
        for step in range(STEPS):
            if step % TORCH_INTERVAL == 0 and step < rounds * TORCH_INTERVAL:
                seconds = _timed(paper, step)
                torch_wall.append(seconds[0])
                torch_cpu.append(seconds[1])
            seconds = _timed(fast, step)
            wall, cpu = wall + seconds[0], cpu + seconds[1]
            if (step + 1) % EVALUATION_INTERVAL == 0:
                scores.append((step + 1, fast.evaluate(step)[SCORE]))
                if scores[-1][1] >= paper_psnr_db:
                    break
    reached = bool(scores) and scores[-1][1] >= paper_psnr_db
    converged = convergence(run, data)
    baseline, baseline_cpu = (checkpoint.step * float(np.median(each)) for each in (torch_wall, torch_cpu))
    result = {
        "ratio": round(baseline / wall, 1) if reached else None,
        "ratio_cpu": round(baseline_cpu / cpu, 1) if reached else None,
        "paper_psnr_db": round(paper_psnr_db, 2),
        "fast_psnr_db": [round(score, 2) for _, score in scores],
        "fast_steps": scores[-1][0] if scores else 0,
        "native_s": round(wall, 2),
        "native_cpu_s": round(cpu, 2),
        "baseline_s": round(baseline),
        "baseline_cpu_s": round(baseline_cpu),
        "baseline": f"{checkpoint.step} steps of {paper_config.rays} rays in torch, {rounds} of them timed",
        "checkpoint": checkpoint.content_hash,
        "converged": converged,
    }
    held = reached and baseline / wall >= TARGET_RATIO and bool(converged["held"])
    return result | {"held": held} | ({} if reached else {"reason": f"not reached within {STEPS} steps"})


def _timed(stage: NerfStage, step: int) -> tuple[float, float]:
    """Wall and CPU seconds of one step."""
    began, busy = time.perf_counter(), time.process_time()
    stage.step(step)
    return time.perf_counter() - began, time.process_time() - busy
