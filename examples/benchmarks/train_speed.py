"""Measures the time of a training step in torch and with the compiled kernels, in turn; with ``--paper`` also C6.

    python examples/benchmarks/train_speed.py CLIP [--preset fast] [--rays N] [--json] [--steps 64] [--threads 2]
        [--paper PAPER_RUN]

Both trainings have the same seed and do the same steps. CPU time is that of this process. Stolen time is what the
hypervisor gave to other guests meanwhile, over all CPUs (Linux).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from time_to_reach import reach

from jean.drivers.person_frames import open_person
from jean.kernels import library
from jean.train.nerf.config import NerfConfig
from jean.train.nerf.presets import resolve
from jean.train.nerf.train import NerfStage
from jean.tuning import settled_memory

C6 = "give a fully trained run of the preset paper: --paper RUN"


def stolen_s() -> float | None:
    """Seconds stolen by the hypervisor from all CPUs since boot; None if the system does not report it."""
    try:
        return int(Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[8]) / 100
    except (OSError, IndexError, ValueError):
        return None


def main() -> None:
    """Runs all measurements and prints them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--preset", choices=("fast", "gaussian", "paper"), default="fast")
    parser.add_argument("--rays", type=int, help="pixels per step; by default the preset's")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument(
        "--warm", type=int, default=64, help="untimed steps before, while the occupancy grid still changes quickly"
    )
    parser.add_argument("--paper", type=Path, help="a run of the preset paper on the same clip, to measure C6")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    stages = {}
    for backend in ("reference", "native"):
        config = resolve(NerfConfig(preset=options.preset, steps=1000, backend=backend, rays=options.rays))
        data = open_person([options.clip])
        stages[backend] = NerfStage(data, config, torch.device("cpu"))
        for step in range(options.warm):
            stages[backend].step(step)
    wall: dict[str, list[float]] = {name: [] for name in stages}
    cpu: dict[str, list[float]] = {name: [] for name in stages}
    before = stolen_s()
    with settled_memory():  # as in the training loop, for both sides
        for step in range(options.warm, options.warm + options.steps):
            for name, stage in stages.items():
                began, busy = time.perf_counter(), time.process_time()
                stage.step(step)
                cpu[name].append(time.process_time() - busy)
                wall[name].append(time.perf_counter() - began)
    after = stolen_s()
    result = {
        "step": {
            name: {
                "best_ms": round(1e3 * min(wall[name]), 2),
                "median_ms": round(1e3 * float(np.median(wall[name])), 2),
                "cpu_median_ms": round(1e3 * float(np.median(cpu[name])), 2),
            }
            for name in stages
        },
        "ratio_median": round(float(np.median(wall["reference"]) / np.median(wall["native"])), 2),
        "ratio_best": round(min(wall["reference"]) / min(wall["native"]), 2),
        "ratio_cpu": round(float(np.median(cpu["reference"]) / np.median(cpu["native"])), 2),
        "stolen_s": None if before is None or after is None else round(after - before, 2),
        "preset": options.preset,
        "rays": config.rays,
        "threads": options.threads,
        "dispatch": library.target(),
        "C6": reach(options.paper, data, 8) if options.paper else {"value": None, "reason": C6},
    }
    print(json.dumps(result, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
