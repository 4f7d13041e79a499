"""C1 to C3 for ``render_speed.py``: the paper's field in torch and with the kernels.

A lattice of 32 × 32 pixels stands for a frame; its times are scaled to all pixels. Without a trained run the
weights are random, and shifted such that a part of the volume has density. The result states this.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from heldout import baselines
from torch import Tensor

from jean.checkpoint import load_checkpoint
from jean.drivers.person_frames import PersonFrames
from jean.drivers.tracks import DriverTracks
from jean.kernels import library
from jean.kernels.backend import Backend
from jean.kernels.reference import Composite, camera_rays, over
from jean.metrics.crops import hull_mask
from jean.models.frame import render_frame
from jean.models.head.base import HeadArguments
from jean.models.head.paper import PaperHead
from jean.models.talking_head import TalkingHead
from jean.rendering.load import load_model

SIDE = 32  # of the lattice, px
BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))
CHUNKS = (64, 128, 256, 512)  # rays per call; the fastest for torch depends on the CPU caches


@dataclass(frozen=True)
class Case:
    """A head and the rays of one frame.

    Attributes:
        head: trained or random.
        origins, directions: [R, 3].
        condition: [1, C], of the frame.
        view: [1, 3], viewing direction.
        weights: "random", or the hash of the checkpoint.
        steps: of the training; None for random weights.
        model: the whole trained model; None for random weights.
    """

    head: PaperHead
    origins: Tensor
    directions: Tensor
    condition: Tensor
    view: Tensor
    weights: str
    steps: int | None = None
    model: TalkingHead | None = None


@torch.no_grad()
def make_case(run: Path | None, data: PersonFrames, index: int) -> Case:
    """The lattice of frame ``index`` with the head of a paper ``run``, or with a random one if it is None."""
    frames = DriverTracks.of_person(data).frames(index)
    step = data.size_px / SIDE
    places = (torch.arange(SIDE) + 0.5) * step
    pixels = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).view(-1, 2)
    first = torch.zeros(len(pixels), dtype=torch.long)
    rays = camera_rays(pixels, frames.focal_px[first], frames.center_px[first], frames.camera_to_world[first])
    if run is not None:
        checkpoint = load_checkpoint(run, stage="nerf")
        model = load_model(checkpoint, "cpu")
        if not isinstance(model.head, PaperHead):
            raise SystemExit(f"error: {run} is not a run of the preset paper")
        pose = torch.zeros(1, 6)  # the paper's view direction depends on the camera only
        condition, view = model.condition(frames), model.view(frames, pose)
        return Case(model.head, *rays, condition, view, checkpoint.content_hash, checkpoint.step, model)
    torch.manual_seed(0)
    head, condition, view = (
        PaperHead(HeadArguments((32, 64, 0), BOX, [])),
        torch.randn(1, 96),
        torch.tensor([[0.0, 0.0, -1.0]]),
    )
    inside = torch.tensor(BOX[0]) + torch.rand(2000, 3) * (torch.tensor(BOX[1]) - torch.tensor(BOX[0]))
    for field in (head.coarse, head.fine):
        field.density.weight *= 20
        field.density.bias.fill_(10.0)
        density, _ = field(inside, condition, view, torch.zeros(len(inside), dtype=torch.long))
        field.density.bias -= density.quantile(0.7)
    return Case(head, *rays, condition, view, "random")


@torch.no_grad()
def traced(case: Case, backend: str, chunk: int, precision: str = "fp32") -> Composite:
    """Traces the rays of a case, ``chunk`` per call."""
    case.head.use(Backend.resolve(backend, "cpu", precision))
    parts = []
    for start in range(0, len(case.origins), chunk):
        part = slice(start, start + chunk)
        rays = case.origins[part], case.directions[part]
        frame = torch.zeros(len(rays[0]), dtype=torch.long)
        parts.append(case.head.trace(*rays, case.condition, case.view, frame, None)[-1])
    return Composite(*(torch.cat([getattr(p, n) for p in parts]) for n in ("channels", "opacity", "depth", "weights")))


def on_white(rays: Composite) -> Tensor:
    """Composites rays over white: rgb [R, 3]."""
    return over(rays.channels, rays.opacity, torch.ones_like(rays.channels))


def decibels(a: Tensor, b: Tensor) -> float:
    """PSNR of two images in [0, 1], dB."""
    return float(-10 * (a - b).square().mean().clamp_min(1e-14).log10())


@dataclass
class Times:
    """Wall and CPU seconds of each round, and the last result."""

    wall: list[float]
    cpu: list[float]
    result: Composite | None = None

    def add(self, work: Callable[[], Composite]) -> None:
        """Times one more call of ``work``."""
        began, busy = time.perf_counter(), time.process_time()
        self.result = work()
        self.wall.append(time.perf_counter() - began)
        self.cpu.append(time.process_time() - busy)


def exact(case: Case, rounds: int, pixels: int) -> dict[str, dict[str, object]]:
    """C1 and the same in bf16: kernels against torch at its best chunk size, in turn, with equal samples (64 + 128)."""
    reference = {chunk: Times([], []) for chunk in CHUNKS}
    kernels = {precision: Times([], []) for precision in ("fp32", *(["bf16"] if library.bf16_targets() else []))}
    for _ in range(rounds):
        for chunk, times in reference.items():
            times.add(lambda chunk=chunk: traced(case, "reference", chunk))
        for precision, times in kernels.items():
            times.add(lambda precision=precision: traced(case, "native", len(case.origins), precision))
    chunk = min(CHUNKS, key=lambda c: min(reference[c].wall))
    baseline, scale = reference[chunk], pixels / len(case.origins)
    assert baseline.result is not None
    baseline_figures = {
        "baseline_s": round(min(baseline.wall) * scale, 2),
        "baseline_cpu_s": round(min(min(t.cpu) for t in reference.values()) * scale, 2),
        "chunk": chunk,
        "opacity": round(float(baseline.result.opacity.mean()), 3),
        "weights": case.weights,
        "steps": case.steps,
    }
    return {
        precision: {
            "ratio": round(min(baseline.wall) / min(times.wall), 2),
            "ratio_median": round(float(np.median(baseline.wall) / np.median(times.wall)), 2),
            "ratio_cpu": round(min(min(t.cpu) for t in reference.values()) / min(times.cpu), 2),
            "psnr_db": round(decibels(on_white(baseline.result), on_white(times.result)), 1),
            "native_s": round(min(times.wall) * scale, 2),
            "dispatch": library.target() if precision == "fp32" else library.bf16_target(),
            **baseline_figures,
        }
        for precision, times in kernels.items()
        if times.result is not None
    }


def skipping(
    case: Case, data: PersonFrames, indices: np.ndarray, rounds: int, baseline_s: float, baseline_cpu_s: float
) -> dict[str, object]:
    """C3: whole held-out frames without empty space, against exact sampling and the real frames.

    Exact frames come from the kernels, which C1 compares with torch.
    """
    model, head = case.model, case.head
    if model is None:
        raise SystemExit("error: skipping empty space needs a trained run")
    indices_of_clip = np.concatenate([data.train, data.held_out])
    sampled = indices_of_clip[np.linspace(0, len(indices_of_clip) - 1, 24).round().astype(int)]
    tracks = DriverTracks.of_person(data)
    frames = [tracks.frames(int(index)) for index in indices]
    plates, reals = [data.plate(int(i)) for i in indices], [data.image(int(i)) for i in indices]
    faces = [hull_mask(data.landmarks[i], data.size_px, data.size_px) for i in indices]
    head.use(Backend.resolve("native", "cpu"))
    head.occupancy = None
    exact_frames = [render_frame(model, f, plate).rgb for f, plate in zip(frames, plates, strict=True)]
    result: dict[str, object] = {}
    for precision in ("fp32", *(["bf16"] if library.bf16_targets() else [])):
        head.use(Backend.resolve("native", "cpu", precision))
        began = time.perf_counter()
        with torch.no_grad():
            head.skip_empty(torch.cat([model.condition(tracks.frames(int(index))) for index in sampled]))
        build_s = time.perf_counter() - began
        wall, cpu, fast_frames = [], [], []
        for turn in range(rounds * len(frames)):
            at = turn % len(frames)
            began, busy = time.perf_counter(), time.process_time()
            frame = render_frame(model, frames[at], plates[at]).rgb
            wall.append(time.perf_counter() - began)
            cpu.append(time.process_time() - busy)
            if turn < len(frames):
                fast_frames.append(frame)
        assert head.occupancy is not None
        loss_db = [
            image_decibels(a[m], real[m]) - image_decibels(b[m], real[m])
            for a, b, real, m in zip(exact_frames, fast_frames, reals, faces, strict=True)
        ]
        face_psnr_db = [image_decibels(q[m], r[m]) for q, r, m in zip(fast_frames, reals, faces, strict=True)]
        result[precision] = {
            "ratio": round(baseline_s / min(wall), 1),
            "ratio_median": round(baseline_s / float(np.median(wall)), 1),
            "ratio_cpu": round(baseline_cpu_s / min(cpu), 1),
            "psnr_db": round(min(image_decibels(a, b) for a, b in zip(exact_frames, fast_frames, strict=True)), 2),
            "face_psnr_db": round(float(np.mean(face_psnr_db)), 2),
            "lost_db": round(max(loss_db), 3),
            "baseline_s": baseline_s,
            "baseline_cpu_s": baseline_cpu_s,
            "native_s": round(min(wall), 3),
            "native_cpu_s": round(min(cpu), 3),
            "grid_s": round(build_s, 2),
            "grid_filled": round(float((head.occupancy.sampling > 0).float().mean()), 3),
            "samples": head.few_samples,
            "frames": [int(index) for index in indices],
            "dispatch": library.target() if precision == "fp32" else library.bf16_target(),
        }
    head.use(Backend.resolve("native", "cpu"))
    head.occupancy = None
    return result


def convergence(run: Path, data: PersonFrames) -> dict[str, object]:
    """Whether a run has converged: less than 0.1 dB gained over its last quarter, 2 dB above the baselines."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    scores = [line["heldout_face_psnr_db"] for line in lines if line["kind"] == "evaluation"]
    rise = scores[-1] - scores[-2] if len(scores) > 1 else None
    above = scores[-1] - max(baselines(data)) if scores else None
    return {
        "evaluations_db": [round(score, 2) for score in scores],
        "rise_last_quarter_db": None if rise is None else round(rise, 3),
        "above_baseline_db": None if above is None else round(above, 2),
        "held": rise is not None and above is not None and rise < 0.1 and above >= 2.0,
    }


def image_decibels(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR of two uint8 images, dB."""
    return float(-10 * np.log10(max(np.mean(np.square(a / 255.0 - b / 255.0)), 1e-12)))
