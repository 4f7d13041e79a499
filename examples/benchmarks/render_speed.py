"""Measures C1 to C4: the time of a frame in torch and with the compiled kernels, in turn.

    python examples/benchmarks/render_speed.py RUN CLIP [--paper PAPER_RUN] [--gaussian GAUSSIAN_RUN] [--json]
        [--rounds 3] [--threads 2]

RUN is a trained run of the preset fast, PAPER_RUN of the preset paper (default: random weights). The baseline of C1 to
C4 is the paper's field in torch with 64 + 128 samples at its best chunk size. It is timed on 1024 pixels and scaled to
the whole frame. Targets that cannot be measured are null, with the reason.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from paper_speed import convergence, exact, image_decibels, make_case, skipping
from train_speed import stolen_s

from jean.checkpoint import load_checkpoint
from jean.drivers.person_frames import PersonFrames, open_person
from jean.drivers.tracks import DriverTracks
from jean.files import read_json
from jean.kernels import library
from jean.kernels.backend import Backend
from jean.models.frame import render_frame
from jean.rendering.load import load_model

NO_AMX = "this CPU has no AMX; C2_avx512bf16 is the same in bf16 with AVX-512"
UNTRAINED = "give a trained run of the preset paper: --paper RUN"


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of a call."""
    began, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - busy


def fast_against_paper(
    options: argparse.Namespace, ratio: float, ratio_cpu: float, c3: dict[str, object]
) -> dict[str, object]:
    """C4: time of a frame of the paper's head in torch over one of the fast head with kernels, and both scores.

    Scores are the face PSNR on held-out frames in the last evaluation of each run.
    """
    c4: dict[str, object] = {
        "ratio": round(ratio, 1),
        "ratio_cpu": round(ratio_cpu, 1),
        "dispatch": library.target(),
        "held": None,
    }
    if options.paper is None:
        return c4 | {"reason": UNTRAINED}
    runs = {"fast": options.run, "paper": options.paper}
    scores = {name: read_json(run / "metrics.json")["heldout_face_psnr_db"] for name, run in runs.items()}
    converged = c3["converged"]
    assert isinstance(converged, dict)
    held = ratio >= 1000 and scores["fast"] >= scores["paper"] and bool(converged["held"])
    return c4 | {"heldout_face_psnr_db": scores, "paper_converged": converged["held"], "held": held}


def gaussian_against_fast(options: argparse.Namespace, data: PersonFrames, index: int) -> dict[str, object]:
    """Time of a frame of the Gaussian and of the fast head with kernels, in turn, at the clip's size and twice it."""
    if options.gaussian is None:
        return {"value": None, "reason": "give a trained run of the preset gaussian: --gaussian RUN"}
    models = {}
    for name, run in (("fast", options.run), ("gaussian", options.gaussian)):
        models[name] = load_model(load_checkpoint(run, stage="nerf"), "cpu")
        models[name].use(Backend.resolve("native", "cpu", operations=models[name].operations))
    result: dict[str, object] = {}
    for scale in (1, 2):
        size = scale * data.size_px
        frames = DriverTracks.of_person(data).frames(index)
        frames = replace(frames, focal_px=frames.focal_px * scale, center_px=frames.center_px * scale)
        white = np.full((size, size, 3), 255, np.uint8)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
        for _ in range(options.rounds + 1):  # the first round fills caches
            for name, model in models.items():
                times[name].append(timed(partial(render_frame, model, frames, white)))
        best = {name: np.min(rounds[1:], axis=0) for name, rounds in times.items()}
        result[f"{size} px"] = {
            **{f"{name}_s": round(float(values[0]), 4) for name, values in best.items()},
            **{f"{name}_cpu_s": round(float(values[1]), 4) for name, values in best.items()},
            "ratio": round(float(best["fast"][0] / best["gaussian"][0]), 2),
            "ratio_cpu": round(float(best["fast"][1] / best["gaussian"][1]), 2),
        }
    return result


def main() -> None:
    """Runs all measurements and prints them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--paper", type=Path, help="a trained run of the preset paper, of the same clip")
    parser.add_argument("--gaussian", type=Path, help="a trained run of the preset gaussian, of the same clip")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    checkpoint = load_checkpoint(options.run, stage="nerf")
    model = load_model(checkpoint, "cpu")
    data = open_person([options.clip])
    index = int(data.held_out[len(data.held_out) // 2])
    frames, case = DriverTracks.of_person(data).frames(index), make_case(options.paper, data, index)
    images, wall, cpu = {}, {}, {}
    before = stolen_s()
    for backend in ("reference", "native"):
        wall[backend], cpu[backend] = [], []
    for _ in range(options.rounds):
        for backend in ("reference", "native"):
            model.head.use(Backend.resolve(backend, "cpu"))

            def work(backend: str = backend) -> None:
                images[backend] = render_frame(model, frames, data.plate(index)).rgb

            seconds, busy = timed(work)
            wall[backend].append(seconds)
            cpu[backend].append(busy)
    c1_c2 = exact(case, options.rounds, data.size_px**2)
    baseline_s, baseline_cpu_s = (float(str(c1_c2["fp32"][name])) for name in ("baseline_s", "baseline_cpu_s"))
    c3: dict[str, object] = {"value": None, "reason": UNTRAINED}
    if options.paper is not None:
        sampled = data.held_out[np.linspace(0, len(data.held_out) - 1, 3).round().astype(int)]
        c3 = skipping(case, data, sampled, options.rounds, baseline_s, baseline_cpu_s)
        c3["converged"] = convergence(options.paper, data)
    after = stolen_s()
    best = {name: min(values) for name, values in wall.items()}
    result = {
        "C1": c1_c2["fp32"],
        "C2": c1_c2["bf16"] if "amx" in library.bf16_targets() else {"value": None, "reason": NO_AMX},
        "C2_avx512bf16": c1_c2.get("bf16") if library.bf16_targets() == ["avx512bf16"] else None,
        "C3": c3,
        "C4": fast_against_paper(options, baseline_s / best["native"], baseline_cpu_s / min(cpu["native"]), c3),
        "fast": {
            "ratio": round(best["reference"] / best["native"], 2),
            "ratio_cpu": round(min(cpu["reference"]) / min(cpu["native"]), 2),
            "psnr_db": round(image_decibels(images["reference"], images["native"]), 1),
            "reference_s": round(best["reference"], 4),
            "native_s": round(best["native"], 4),
            "native_cpu_s": round(min(cpu["native"]), 4),
        },
        "gaussian": gaussian_against_fast(options, data, index),
        "size_px": data.size_px,
        "threads": options.threads,
        "stolen_s": None if before is None or after is None else round(after - before, 2),
        "checkpoint": checkpoint.content_hash,
    }
    print(json.dumps(result, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
