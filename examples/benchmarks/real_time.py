"""Measures C5: the speed of the whole command `jean render`, with encoding and sound; also the flicker of a head.

    python examples/benchmarks/real_time.py RUN CLIP --audio SPEECH [--size 256] [--rounds 2] [--json]

Each round runs the command once per precision, in turn, in its own process. Wall time runs from start to end of the
command; CPU time is that of the process with its threads. Both include the start-up (Python, torch, reading the run),
so longer speech is nearer to the steady rate.

Flicker: a head with constant drivers must not change at all. One that moves by 1/20 px per frame must change little
and evenly. Both are measured with torch and with the kernels, in steps of 1/255.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from train_speed import stolen_s

from jean.checkpoint import load_checkpoint
from jean.drivers.person_frames import PersonFrames, open_person
from jean.drivers.tracks import DriverTracks
from jean.kernels import library
from jean.kernels.backend import OPERATIONS, Backend
from jean.models.frame import render_frame
from jean.models.talking_head import TalkingHead
from jean.rendering.load import load_model

TARGET_FPS = 25
DRIFT_PX, DRIFT_FRAMES = 0.05, 16


def command_seconds(run: Path, audio: Path, size: int | None, precision: str) -> dict[str, Any]:
    """Frames, size, wall and CPU seconds of one `jean render`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "jean_cli", "render", str(run)]
        command += ["--audio", str(audio), "-o", str(Path(folder) / "out.mp4"), "--json", "--precision", precision]
        command += ["--size", str(size)] if size else []
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
        seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    report = json.loads(done.stdout)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"frames": report["frames"], "size_px": report["size"], "seconds": seconds, "cpu_s": cpu}


def real_time(options: argparse.Namespace, precisions: list[str]) -> dict[str, Any]:
    """C5 per precision: best and median round."""
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in precisions}
    for _ in range(options.rounds):
        for name in precisions:
            rounds[name].append(command_seconds(options.run, options.audio, options.size, name))
    c5 = {}
    for name, runs in rounds.items():
        rates = [run["frames"] / run["seconds"] for run in runs]
        c5[name] = {
            "frames": runs[0]["frames"],
            "size_px": runs[0]["size_px"],
            "best_fps": round(max(rates), 2),
            "median_fps": round(float(np.median(rates)), 2),
            "cpu_ms_per_frame": round(1e3 * min(run["cpu_s"] for run in runs) / runs[0]["frames"], 1),
            "held": max(rates) >= TARGET_FPS,
        }
    return c5


def flicker(model: TalkingHead, data: PersonFrames, backend: str, precision: str) -> dict[str, float]:
    """Largest change of a still head; median and largest mean change per frame of a moving one; in 1/255."""
    index = int(data.held_out[len(data.held_out) // 2])
    frames, white = DriverTracks.of_person(data).frames(index), np.full((data.size_px, data.size_px, 3), 255, np.uint8)
    model.use(Backend.resolve(backend, "cpu", precision, model.operations))
    images = []
    for step in range(DRIFT_FRAMES):
        moved = replace(frames, center_px=frames.center_px + torch.tensor([[DRIFT_PX * step, 0.0]]))
        images.append(render_frame(model, moved, white).rgb.astype(np.int16))
    again = render_frame(model, frames, white).rgb
    changes = [float(np.abs(b - a).mean()) for a, b in itertools.pairwise(images)]
    return {
        "still_largest": int(np.abs(again - images[0]).max()),
        "drift_median": round(float(np.median(changes)), 4),
        "drift_largest": round(max(changes), 4),
    }


def main() -> None:
    """Runs all measurements and prints them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--size", type=int)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.run, stage="nerf")
    model, data = load_model(checkpoint, "cpu"), open_person([options.clip])
    bf16 = library.bf16_targets() and any(OPERATIONS[name].cpu_bf16 for name in model.operations)
    precisions = ["fp32", *(["bf16"] if bf16 else [])]
    before = stolen_s()
    c5 = real_time(options, precisions)
    after = stolen_s()
    kinds = [("reference", "fp32"), *(("native", name) for name in precisions)]
    result = {
        "C5": c5,
        "flicker": {f"{backend} {name}": flicker(model, data, backend, name) for backend, name in kinds},
        "threads": torch.get_num_threads(),
        "stolen_s": None if before is None or after is None else round(after - before, 2),
        "checkpoint": checkpoint.content_hash,
    }
    print(json.dumps(result, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
