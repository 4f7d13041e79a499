"""The paper's field in readable torch and by the kernels: what ``render_speed.py`` measures of it.

A picture is stood for by a lattice of 32 × 32 of its pixels, and times are scaled to all of them. Without a
trained run the weights are random, and shifted so that a part of the box has density; the result says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jean.data.datasets import PersonFrames
from jean.models.head import PaperHead
from jean.models.talking_head import Frames, TalkingHead
from jean.render import native
from jean.render.reference import Composite, camera_rays, over
from jean.synthesize import load_model
from jean.train.checkpoint import load_checkpoint

SIDE = 32
BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))
CHUNKS = (64, 128, 256, 512)  # rays at a time; torch is best at one of them, as its caches allow


@dataclass(frozen=True)
class Case:
    """A head and the rays of one frame.

    Attributes:
        origins, directions: [R, 3].
        condition, view: of the frame, [1, C] and [1, 3].
        weights: "random", or the checkpoint's hash.
    """

    head: PaperHead
    origins: Tensor
    directions: Tensor
    condition: Tensor
    view: Tensor
    weights: str
    steps: int | None = None
    model: TalkingHead | None = None


def frame_of(data: PersonFrames, index: int) -> Frames:
    """What drives one frame of a clip."""
    return Frames(
        camera_to_world=torch.from_numpy(data.camera_to_world[[index]]),
        focal_px=torch.from_numpy(data.focal_px[[index]]),
        center_px=torch.from_numpy(data.center_px[[index]]),
        audio=torch.from_numpy(data.audio[[index]]).float(),
        expression=torch.from_numpy(data.expression[[index]]).float(),
        offsets=torch.from_numpy(data.offsets[[index]]),
    )


@torch.no_grad()
def make_case(run: Path | None, data: PersonFrames, index: int) -> Case:
    """The lattice of frame ``index``, seen by a trained paper head, or by a random one."""
    frames = frame_of(data, index)
    step = data.size_px / SIDE
    places = (torch.arange(SIDE) + 0.5) * step
    pixels = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).view(-1, 2)
    first = torch.zeros(len(pixels), dtype=torch.long)
    rays = camera_rays(pixels, frames.focal_px[first], frames.center_px[first], frames.camera_to_world[first])
    if run is not None:
        checkpoint = load_checkpoint(run, stage="nerf")
        model = load_model(checkpoint, "cpu")
        if not isinstance(model.head, PaperHead):
            raise SystemExit(f"{run} is no run of the preset paper")
        pose = torch.zeros(1, 6)  # the paper's direction needs the camera alone
        condition, view = model.condition(frames), model.view(frames, pose)
        return Case(model.head, *rays, condition, view, checkpoint.content_hash, checkpoint.step, model)
    torch.manual_seed(0)
    head, condition, view = PaperHead((32, 64, 0), BOX), torch.randn(1, 96), torch.tensor([[0.0, 0.0, -1.0]])
    inside = torch.tensor(BOX[0]) + torch.rand(2000, 3) * (torch.tensor(BOX[1]) - torch.tensor(BOX[0]))
    for field in (head.coarse, head.fine):
        field.density.weight *= 20
        field.density.bias.fill_(10.0)
        density, _ = field(inside, condition, view, torch.zeros(len(inside), dtype=torch.long))
        field.density.bias -= density.quantile(0.7)
    return Case(head, *rays, condition, view, "random")


@torch.no_grad()
def traced(case: Case, backend: str, chunk: int) -> Composite:
    """The case's rays, so many at a time."""
    case.head.use(backend)
    parts = []
    for start in range(0, len(case.origins), chunk):
        part = slice(start, start + chunk)
        rays = case.origins[part], case.directions[part]
        frame = torch.zeros(len(rays[0]), dtype=torch.long)
        parts.append(case.head.trace(*rays, case.condition, case.view, frame, None)[-1])
    return Composite(*(torch.cat([getattr(p, n) for p in parts]) for n in ("channels", "opacity", "depth", "weights")))


def on_white(seen: Composite) -> Tensor:
    """rgb [R, 3]."""
    return over(seen.channels, seen.opacity, torch.ones_like(seen.channels))


def decibels(a: Tensor, b: Tensor) -> float:
    """PSNR of two images in [0, 1]."""
    return float(-10 * (a - b).square().mean().clamp_min(1e-14).log10())


@dataclass
class Times:
    """Wall and CPU seconds of every round, and the last result."""

    wall: list[float]
    cpu: list[float]
    seen: Composite | None = None

    def add(self, work: Callable[[], Composite]) -> None:
        """Runs once more."""
        began, busy = time.perf_counter(), time.process_time()
        self.seen = work()
        self.wall.append(time.perf_counter() - began)
        self.cpu.append(time.process_time() - busy)


def exact(case: Case, rounds: int, pixels: int) -> dict[str, object]:
    """C1: the same samples (64 + 128) of the same weights in fp32, torch at its best chunk size, in turn."""
    reference = {chunk: Times([], []) for chunk in CHUNKS}
    kernels = Times([], [])
    for _ in range(rounds):
        for chunk, times in reference.items():
            times.add(lambda chunk=chunk: traced(case, "reference", chunk))
        kernels.add(lambda: traced(case, "native", len(case.origins)))
    chunk = min(CHUNKS, key=lambda c: min(reference[c].wall))
    baseline, scale = reference[chunk], pixels / len(case.origins)
    assert baseline.seen is not None and kernels.seen is not None
    return {
        "ratio": round(min(baseline.wall) / min(kernels.wall), 2),
        "ratio_median": round(float(np.median(baseline.wall) / np.median(kernels.wall)), 2),
        "ratio_cpu": round(min(min(t.cpu) for t in reference.values()) / min(kernels.cpu), 2),
        "psnr_db": round(decibels(on_white(baseline.seen), on_white(kernels.seen)), 1),
        "baseline_s": round(min(baseline.wall) * scale, 2),
        "native_s": round(min(kernels.wall) * scale, 2),
        "chunk": chunk,
        "opacity": round(float(baseline.seen.opacity.mean()), 3),
        "dispatch": native.target(),
        "weights": case.weights,
        "steps": case.steps,
    }
