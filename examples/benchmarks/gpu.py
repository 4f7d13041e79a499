"""Measures a GPU: builds and checks the kernels, times Gaussians, trains both heads, times rendering and training.

    python examples/benchmarks/gpu.py CLIP [-o gpu.json] [--minutes 5] [--paper-steps 5000] [--fast-steps 1600]

CLIP is a prepared clip. Needs torch, numpy, opencv-python, pydantic, PyYAML, safetensors and the project itself. The
exit code is 5 without a GPU, and 4 if a kernel disagrees with torch on this GPU or a part fails.

Parts run in this order: environment, kernels, Gaussians, the sanitizer, trainings, G1 to G6, training steps. If a part
fails, its error is reported and the next one runs. Parts that would begin after the time limit are left out. The JSON
file is written after every part, so a run that is cut off keeps what it has measured.

Training steps are recorded as CUDA graphs and compared with steps launched one by one. Both heads are trained with the
kernels; where a check fails, torch takes the place of that operation. The paper's head uses half-precision factors and
runs only a part of its 400,000 iterations. So G4 is extrapolated, and G5 compares with an unfinished head. The result
states both.
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
from gpu_kernels import environment, gaussians, kernels, sanitizer
from gpu_report import Report
from torch import Tensor

from jean.drivers.person_frames import PersonFrames, open_person
from jean.kernels.backend import Backend
from jean.models.head.paper import PaperHead
from jean.models.talking_head import Frames, TalkingHead
from jean.train.nerf.config import NerfConfig
from jean.train.nerf.presets import resolve
from jean.train.nerf.train import NerfStage

Precision = Literal["fp32", "bf16"]
PAPER_ITERATIONS = 400_000
BLOCK = 100  # steps between two evaluations
# Bytes of GPU memory that a ray takes. The paper's head has 255 samples per ray; torch keeps their hidden layers.
# Heads that are not listed draw whole pictures.
RAY_BYTES = {
    "paper": {"auto": 1 << 15, "reference": 1 << 20},
    "fast": {"auto": 1 << 12, "reference": 1 << 16},
}


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


def chunk_size(preset: str, backend: str, device: torch.device) -> int:
    """Pixels per call: as many rays as half of the free memory holds, since every call costs launches; or all."""
    if preset not in RAY_BYTES:
        return 1 << 30
    if device.type != "cuda":
        return 1 << 13
    free, _ = torch.cuda.mem_get_info(device)
    return max(1 << 13, free // 2 // RAY_BYTES[preset][backend])


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
            images[backend] = image(model, frames, size, chunk_size(preset, backend, device))

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


def measure(
    report: Report,
    clip: Path,
    device: torch.device,
    paper_steps: int,
    fast_steps: int,
    rounds: int,
    sizes: tuple[int, int],
    precision: Precision = "bf16",
    timed_steps: int = 320,
) -> None:
    """Trains the three heads and measures G1 to G6 and training steps, each as a part of the report.

    Args:
        report: receives the parts.
        clip: a prepared clip.
        device: for everything.
        paper_steps: training steps of the paper's head.
        fast_steps: largest number of training steps of the fast head; the Gaussian head takes as many.
        rounds: timed rounds per image.
        sizes: side of the images of G1, and of G2 and G3, px.
        precision: of the paper's head.
        timed_steps: steps that compare CUDA graphs with single launches.
    """
    data = open_person([clip])
    index = int(data.held_out[len(data.held_out) // 2])
    stages: dict[str, NerfStage] = {}

    def trained(preset: str, steps: int, until: float | None, precision: Precision = "fp32") -> dict[str, Any]:
        stages[preset], figures = train(data, preset, steps, device, until, precision)
        return figures

    def picture(preset: str, size: int, precision: Precision, against: Tensor | None = None) -> dict[str, Any]:
        frames = resized(stages[preset].frames([index]), size / data.size_px)
        return frame_speed(stages[preset].ema, frames, size, preset, precision, rounds, against)

    def without_empty_space() -> dict[str, Any]:
        paper = stages["paper"]
        head = paper.ema.head
        assert isinstance(head, PaperHead)
        head.use(Backend.resolve("reference", device))
        frames = resized(paper.frames([index]), sizes[1] / data.size_px)
        exact = image(paper.ema, frames, sizes[1], chunk_size("paper", "reference", device))
        head.use(Backend.resolve("auto", device, precision))
        with torch.no_grad():
            conditions = [paper.ema.condition(paper.frames([int(i)])) for i in data.held_out[:24]]
            head.skip_empty(torch.cat(conditions))
        return picture("paper", sizes[1], precision, exact) | {"samples": head.few_samples}

    report.part("fast_run", lambda: trained("fast", fast_steps, None))
    report.part("G3", lambda: picture("fast", sizes[1], "fp32"), target_fps=500, moonshot_fps=1000)
    report.part("gaussian_run", lambda: trained("gaussian", fast_steps, None))
    report.part("G6", lambda: picture("gaussian", sizes[1], "fp32"), target_fps=500, moonshot_fps=1500)
    paper = report.part("paper_run", lambda: trained("paper", paper_steps, None, precision))
    report.part("G1", lambda: picture("paper", sizes[0], precision), target_fps=10, moonshot_fps=20)
    report.part("G2", without_empty_space, target_fps=200, moonshot_fps=400)
    report.part("G4", lambda: whole_training(paper, paper_steps, precision), target_minutes=30, moonshot_minutes=12)

    def fast_against_paper() -> dict[str, Any]:
        goal = paper["heldout_face_psnr_db"]
        figures = trained("fast", fast_steps, goal)
        return {
            "seconds": figures["reached_s"],
            "reason": None if figures["reached_s"] else f"not reached in {figures['steps']} steps",
            "launched": figures["launched"],
            "of": f"the paper's head after {paper_steps} of {PAPER_ITERATIONS} iterations",
            "psnr_db": goal,
        }

    report.part("G5", fast_against_paper, target_s=180, moonshot_s=60)
    for preset, used in (("fast", "fp32"), ("paper", precision)):
        report.part(f"steps_{preset}", lambda p=preset, u=used: step_speed(data, p, device, timed_steps, u))


def whole_training(paper: dict[str, Any], steps: int, precision: str) -> dict[str, Any]:
    """G4: minutes of the paper's 400,000 iterations, extrapolated from those of a training."""
    return {
        "minutes_extrapolated": round(paper["ms_per_step"] * PAPER_ITERATIONS / 6e4, 1),
        "from_steps": steps,
        "ms_per_step": paper["ms_per_step"],
        "launched": paper["launched"],
        "trained_by": f"CUDA kernels, {precision}",
    }


def main() -> int:
    """Runs all parts and prints the result; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("gpu.json"), help="written after every part")
    parser.add_argument("--json", action="store_true", help="on one line")
    parser.add_argument("--minutes", type=float, default=5.0, help="no part begins later")
    parser.add_argument("--paper-steps", type=int, default=5000)
    parser.add_argument("--fast-steps", type=int, default=1600)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("error: torch finds no GPU, so G1 to G6 stay open. See: jean doctor", file=sys.stderr)
        return 5
    device = torch.device("cuda", torch.cuda.current_device())
    report = Report(options.output, 60 * options.minutes)
    report.part("environment", lambda: environment(device))
    kernels(report, device)
    report.part("gaussians", lambda: gaussians(device, options.rounds))
    report.part("sanitizer", sanitizer)
    counts = (options.paper_steps, options.fast_steps, options.rounds)
    measure(report, options.clip, device, *counts, (450, 512))
    print(json.dumps(report.result, indent=None if options.json else 2))
    return 4 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
