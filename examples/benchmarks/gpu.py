"""Measures G1 to G5 on a GPU: builds and checks the kernels, trains both heads, times rendering and training.

    python examples/benchmarks/gpu.py CLIP [--json] [--paper-steps 5000] [--fast-steps 1600] [--rounds 20]

CLIP is a prepared clip. Needs torch, numpy, opencv-python, pydantic, PyYAML, safetensors and the project itself.
The exit code is 5 without a GPU, and 4 if a kernel disagrees with torch on this GPU.

Training steps are recorded as CUDA graphs and compared with steps launched one by one. Both heads are trained with
the kernels. The paper's head uses half-precision factors and runs only a part of its 400,000 iterations. So G4 is
extrapolated, and G5 compares with an unfinished head. The result states both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from jean.drivers.person_frames import PersonFrames, open_person
from jean.kernels.backend import Backend
from jean.kernels.cuda import build as cuda_build
from jean.kernels.cuda import check as cuda_check
from jean.kernels.cuda import launch as cuda_launch
from jean.models.head.paper import PaperHead
from jean.models.talking_head import Frames, TalkingHead
from jean.train.nerf.config import NerfConfig
from jean.train.nerf.presets import resolve
from jean.train.nerf.train import NerfStage

Precision = Literal["fp32", "bf16"]
PAPER_ITERATIONS = 400_000
BLOCK = 100  # steps between two evaluations
CHUNK = {"paper": 1 << 13, "fast": 1 << 18}  # rays per call; the paper's head has 255 samples per ray


def wait(device: torch.device) -> None:
    """Waits until the GPU has finished all queued work; returns at once on the CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device, rounds: int) -> list[float]:
    """Wall seconds of each round of ``work``, after one warm-up round."""
    taken = []
    for _ in range(rounds + 1):
        wait(device)
        began = time.perf_counter()
        work()
        wait(device)
        taken.append(time.perf_counter() - began)
    return taken[1:]


def decibels(a: Tensor, b: Tensor) -> float:
    """PSNR of two images in [0, 1], dB."""
    return round(float(-10 * (a - b).square().mean().clamp_min(1e-14).log10()), 1)


def resized(frames: Frames, factor: float) -> Frames:
    """The same frame for an image whose side is ``factor`` times as large."""
    return replace(frames, focal_px=frames.focal_px * factor, center_px=frames.center_px * factor)


@torch.no_grad()
def image(model: TalkingHead, frames: Frames, size: int, chunk: int) -> Tensor:
    """Renders a frame before white: rgb [size², 3], in GPU memory."""
    device = model.expression_mean.device
    places = torch.arange(size, device=device) + 0.5
    pixels = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).view(-1, 2)
    condition, parts = model.condition(frames), []
    for part in pixels.split(chunk):
        frame = torch.zeros(len(part), dtype=torch.long, device=device)
        parts.append(
            model.trace(frames, part, frame, size, condition=condition).over(torch.ones_like(part[:, :1]).expand(-1, 3))
        )
    return torch.cat(parts)


def frame_speed(
    model: TalkingHead,
    frames: Frames,
    size: int,
    preset: str,
    precision: str,
    rounds: int,
    against: Tensor | None = None,
) -> dict[str, Any]:
    """Frames per second with the kernels and with torch, and the PSNR between their images.

    Args:
        model: the trained model.
        frames: the frame to render.
        size: side of the image, px.
        preset: of the head, for the number of rays per call.
        precision: of the kernels; torch uses fp32.
        rounds: timed rounds.
        against: image to compare with; None: that of torch.
    """
    device, times = model.expression_mean.device, {}
    images: dict[str, Tensor] = {}
    for backend, used_precision in (("reference", "fp32"), ("auto", precision)):
        model.head.use(Backend.resolve(backend, device, used_precision))

        def work(backend: str = backend) -> None:
            images[backend] = image(model, frames, size, CHUNK[preset])

        times[backend] = seconds(work, device, rounds)
    return {
        "fps": round(1 / statistics.median(times["auto"]), 2),
        "fps_best": round(1 / min(times["auto"]), 2),
        "fps_torch": round(1 / statistics.median(times["reference"]), 2),
        "psnr_db": decibels(images["auto"], images["reference"] if against is None else against),
        "size_px": size,
    }


def train(
    data: PersonFrames,
    preset: str,
    steps: int,
    device: torch.device,
    until: float | None,
    precision: Precision = "fp32",
) -> tuple[NerfStage, dict]:
    """Trains a head on the GPU, up to a held-out face PSNR of ``until`` dB; returns the stage and its figures."""
    config = resolve(NerfConfig(preset=preset, steps=steps, device=str(device), precision=precision))
    stage = NerfStage(data, config, device)
    spent, reached, scores, done = 0.0, None, {}, 0
    while done < steps and reached is None:
        block = min(BLOCK, steps - done)
        wait(device)
        began = time.perf_counter()
        for step in range(done, done + block):  # without synchronisation
            stage.step(step)
        wait(device)
        spent += time.perf_counter() - began
        done += block
        if done == steps or until is not None:
            scores = stage.evaluate(done)
            if until is not None and scores["heldout_face_psnr_db"] >= until:
                reached = round(spent, 2)
    figures = {"steps": done, "seconds": round(spent, 2), "ms_per_step": round(1e3 * spent / done, 3)}
    figures |= {"reached_s": reached, "launched": launched(stage), "images": stage.batches.images.line}
    stage.ema.eval()
    return stage, figures | {name: round(value, 2) for name, value in scores.items()}


def launched(stage: NerfStage) -> str:
    """How the steps of a stage are launched."""
    return "as CUDA graphs" if stage.graphs is not None and not stage.graphs.failed else "one by one"


def step_speed(
    data: PersonFrames, preset: str, device: torch.device, steps: int, precision: Precision
) -> dict[str, Any]:
    """Milliseconds per step with and without CUDA graphs, in turn; steps that record graphs are not timed."""
    stages = {
        graphs: NerfStage(
            data,
            resolve(NerfConfig(preset=preset, steps=1000, device=str(device), graphs=graphs, precision=precision)),
            device,
        )
        for graphs in (True, False)
    }
    taken: dict[bool, list[float]] = {graphs: [] for graphs in stages}
    block = min(16, steps)  # 16 steps hold one grid update; the first two blocks record all graphs
    for first in range(0, 2 * block + steps, block):
        for graphs, stage in stages.items():
            wait(device)
            began = time.perf_counter()
            for step in range(first, first + block):
                stage.step(step)
            wait(device)
            if first >= 2 * block:
                taken[graphs].append(1e3 * (time.perf_counter() - began) / block)
    return {
        "launched": launched(stages[True]),
        "ms_per_step": round(statistics.median(taken[True]), 3),
        "ms_per_step_one_by_one": round(statistics.median(taken[False]), 3),
    }


def checks(device: torch.device) -> dict[str, Any]:
    """Builds every kernel for this GPU and compares it with torch there."""
    began = time.perf_counter()
    built = [cuda_build.build_unit(unit, cuda_launch.architecture(device)) for unit in cuda_build.units()]
    taken = round(time.perf_counter() - began, 2)
    verdicts = {name: cuda_check.verdict(name, device) for name in cuda_check.CHECKS}
    return {
        "architecture": cuda_launch.architecture(device),
        "built_s": taken,
        "kernels": [kernel.__dict__ for unit in built for kernel in unit.kernels],
        "checks": {name: {"passed": v.passed, "error": v.error, "line": v.line} for name, v in verdicts.items()},
    }


def measure(
    clip: Path,
    device: torch.device,
    paper_steps: int,
    fast_steps: int,
    rounds: int,
    sizes: tuple[int, int],
    precision: Precision = "bf16",
    timed_steps: int = 320,
) -> dict[str, Any]:
    """Measures G1 to G5.

    Args:
        clip: a prepared clip.
        device: for everything.
        paper_steps: training steps of the paper's head.
        fast_steps: largest number of training steps of the fast head.
        rounds: timed rounds per image.
        sizes: side of the images of G1, and of G2 and G3, px.
        precision: of the paper's head.
        timed_steps: steps that compare CUDA graphs with single launches.
    """
    data = open_person([clip])
    index = int(data.held_out[len(data.held_out) // 2])
    paper, paper_run = train(data, "paper", paper_steps, device, None, precision)
    fast, fast_run = train(data, "fast", fast_steps, device, paper_run["heldout_face_psnr_db"])
    frames, head = paper.frames([index]), paper.ema.head
    assert isinstance(head, PaperHead)
    large = resized(frames, sizes[1] / data.size_px)
    g1 = frame_speed(paper.ema, resized(frames, sizes[0] / data.size_px), sizes[0], "paper", precision, rounds)
    head.use(Backend.resolve("reference", device))
    exact = image(paper.ema, large, sizes[1], CHUNK["paper"])
    head.use(Backend.resolve("auto", device, precision))
    with torch.no_grad():
        conditions = [paper.ema.condition(paper.frames([int(i)])) for i in data.held_out[:24]]
        head.skip_empty(torch.cat(conditions))
    g2 = frame_speed(paper.ema, large, sizes[1], "paper", precision, rounds, exact)
    g3 = frame_speed(fast.ema, resized(fast.frames([index]), sizes[1] / data.size_px), sizes[1], "fast", "fp32", rounds)
    hours = paper_run["ms_per_step"] * PAPER_ITERATIONS / 3.6e6
    return {
        "G1": g1 | {"target_fps": 10, "moonshot_fps": 20},
        "G2": g2 | {"target_fps": 200, "moonshot_fps": 400, "samples": head.few_samples},
        "G3": g3 | {"target_fps": 500, "moonshot_fps": 1000},
        "G4": {
            "minutes_extrapolated": round(60 * hours, 1),
            "from_steps": paper_steps,
            "ms_per_step": paper_run["ms_per_step"],
            "launched": paper_run["launched"],
            "trained_by": f"CUDA kernels, {precision}",
            "target_minutes": 30,
            "moonshot_minutes": 12,
        },
        "G5": {
            "seconds": fast_run["reached_s"],
            "reason": None if fast_run["reached_s"] else f"not reached in {fast_run['steps']} steps",
            "launched": fast_run["launched"],
            "of": f"the paper's head after {paper_steps} of {PAPER_ITERATIONS} iterations",
            "psnr_db": paper_run["heldout_face_psnr_db"],
            "target_s": 180,
            "moonshot_s": 60,
        },
        "paper_run": paper_run,
        "fast_run": fast_run,
        "steps": {
            preset: step_speed(data, preset, device, timed_steps, trained)
            for preset, trained in (("paper", precision), ("fast", "fp32"))
        },
    }


def main() -> int:
    """Runs all measurements and prints them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--paper-steps", type=int, default=5000)
    parser.add_argument("--fast-steps", type=int, default=1600)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("error: torch finds no GPU, so G1 to G5 stay open. See: jean doctor", file=sys.stderr)
        return 5
    device = torch.device("cuda", torch.cuda.current_device())
    result: dict[str, Any] = {"gpu": torch.cuda.get_device_name(device), "torch": torch.__version__}
    result |= checks(device)
    wrong = [name for name, check in result["checks"].items() if not check["passed"]]
    if wrong:
        reason = f"kernels that disagree with torch on this GPU: {', '.join(wrong)}"
        result |= {name: {"value": None, "reason": reason} for name in ("G1", "G2", "G3", "G4", "G5")}
    else:
        counts = (options.paper_steps, options.fast_steps, options.rounds)
        result |= measure(options.clip, device, *counts, (450, 512))
    print(json.dumps(result, indent=None if options.json else 2))
    return 4 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
