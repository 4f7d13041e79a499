"""How fast a picture is: readable torch and compiled kernels, picture by picture in turn.

    python examples/benchmarks/render_speed.py RUN CLIP [--json] [--rounds 3] [--threads 2]

RUN is a trained fast preset. C4's baseline is the paper's field in readable torch with its sampling (64 + 128)
at its best chunk size. Its time does not depend on weights, so they are random, and it is measured on 1024 rays
of a picture and scaled to all of them. Targets that cannot be shown are null with the reason.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from train_speed import stolen_s

from jean.data.datasets import PersonFrames, open_clips
from jean.models.head import PaperHead
from jean.models.paint import picture
from jean.models.talking_head import Frames
from jean.render import native
from jean.synthesize import load_model
from jean.train.checkpoint import load_checkpoint

NO_KERNEL = "the paper's field has no kernels yet"
RAYS = 1024


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of a call."""
    began, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - busy


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    """Between two uint8 images."""
    return float(-10 * np.log10(max(np.mean(np.square(a / 255.0 - b / 255.0)), 1e-12)))


def paper_seconds(pixels: int) -> float:
    """Best time of ``RAYS`` rays of the paper's head over some chunk sizes, scaled to a picture."""
    box = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))
    head = PaperHead((32, 64, 0), box)
    head.use("reference")
    targets = torch.rand(RAYS, 3) * 12 - 6
    origins = torch.tensor([0.0, 0.0, -60.0]).expand(RAYS, 3)
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    condition, view = torch.randn(1, 96), torch.tensor([[0.0, 0.0, -1.0]])
    best = np.inf
    for chunk in (128, 256, 512):

        def work(chunk: int = chunk) -> None:
            with torch.no_grad():
                for start in range(0, RAYS, chunk):
                    part = slice(start, start + chunk)
                    frame = torch.zeros(chunk, dtype=torch.long)
                    head.trace(origins[part], directions[part], condition, view, frame, None)

        best = min(best, timed(work)[0])
    return best * pixels / RAYS


def main() -> None:
    """Runs the comparison and prints it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    checkpoint = load_checkpoint(options.run, stage="nerf")
    model = load_model(checkpoint, "cpu")
    data = PersonFrames(open_clips([options.clip]))
    index = int(data.held_out[len(data.held_out) // 2])
    frames = Frames(
        camera_to_world=torch.from_numpy(data.camera_to_world[[index]]),
        focal_px=torch.from_numpy(data.focal_px[[index]]),
        center_px=torch.from_numpy(data.center_px[[index]]),
        audio=torch.from_numpy(data.audio[[index]]).float(),
        expression=torch.from_numpy(data.expression[[index]]).float(),
        offsets=torch.from_numpy(data.offsets[[index]]),
    )
    images, wall, cpu, paper = {}, {}, {}, []
    before = stolen_s()
    for backend in ("reference", "native"):
        wall[backend], cpu[backend] = [], []
    for _ in range(options.rounds):
        for backend in ("reference", "native"):
            model.head.use(backend)

            def work(backend: str = backend) -> None:
                images[backend] = picture(model, frames, data.plate(index)).rgb

            seconds, busy = timed(work)
            wall[backend].append(seconds)
            cpu[backend].append(busy)
        paper.append(paper_seconds(data.size_px**2))
    after = stolen_s()
    best = {name: min(values) for name, values in wall.items()}
    result = {
        "C1": {"value": None, "reason": NO_KERNEL},
        "C2": {"value": None, "reason": NO_KERNEL},
        "C3": {"value": None, "reason": NO_KERNEL},
        "C4": {
            "ratio": round(min(paper) / best["native"], 1),
            "ratio_median": round(float(np.median(paper) / np.median(wall["native"])), 1),
            "baseline_s": round(min(paper), 2),
            "native_s": round(best["native"], 4),
            "dispatch": native.target(),
            "held": None,
            "reason": "the time alone: without a trained paper model the two pictures cannot be compared",
        },
        "fast": {
            "ratio": round(best["reference"] / best["native"], 2),
            "ratio_cpu": round(min(cpu["reference"]) / min(cpu["native"]), 2),
            "psnr_db": round(psnr_db(images["reference"], images["native"]), 1),
            "reference_s": round(best["reference"], 4),
            "native_s": round(best["native"], 4),
            "native_cpu_s": round(min(cpu["native"]), 4),
        },
        "size_px": data.size_px,
        "threads": options.threads,
        "stolen_s": None if before is None or after is None else round(after - before, 2),
        "checkpoint": checkpoint.content_hash,
    }
    print(json.dumps(result, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
