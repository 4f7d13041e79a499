"""Kernels on a card are used by themselves only after they have agreed with torch on that card."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from jean.errors import JeanError
from jean.render.cuda_ops import launch_picture
from jean.render.field_op import PlaneSpec, Prior
from jean.render.grid import DensityGrid
from jean.render.picture_op import FrameField, PictureCall
from jean.render.reference import Composite, box_interval, composite

BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))
SAMPLES, COARSE = 10, 48
# Values that enter a matrix product keep 8 bits in bf16: the mean error of a colour is 10⁻³, where one layer's
# inputs are read in a wrong order it is over 10⁻¹.
MEAN_ERROR = 5e-3


@dataclass(frozen=True)
class Verdict:
    """Whether an operation's kernels are right on a card, and one line that says so."""

    passed: bool
    line: str


@lru_cache
def verdict(operation: str, device: torch.device) -> Verdict:
    """Runs an operation on a small random problem, by the kernels and by torch, and compares."""
    name = torch.cuda.get_device_name(device)
    try:
        error = CHECKS[operation](device)
    except (JeanError, RuntimeError) as problem:
        made = Verdict(False, f"kernels for {operation} do not run on {name} ({problem}): torch takes their place")
    else:
        what = f"kernels for {operation} on {name}: mean error against torch {error:.1e}, at most {MEAN_ERROR:.0e}"
        passed = error < MEAN_ERROR  # a NaN fails
        made = Verdict(passed, what if passed else f"{what} is allowed: torch takes their place")
    if not made.passed:
        warnings.warn(made.line, stacklevel=2)
    return made


def check_picture(device: torch.device, launcher: Any = None, rays: int = 600) -> float:
    """Mean error of the colours of random rays through a random field; ``launcher`` as in ``launch_picture``."""
    field, grid, origins, directions = example(device, rays)
    call = PictureCall(field, grid.sampling, grid.low, grid.high, origins, directions, SAMPLES, COARSE)
    for made in call.made:
        made.fill_(torch.nan)
    launch_picture(call, launcher)
    want, got = readable_picture(field, grid, origins, directions, SAMPLES), call.result()
    errors = [(getattr(got, name) - getattr(want, name)).abs().mean() for name in ("channels", "opacity")]
    return float(torch.stack(errors).max())


def example(device: torch.device, rays: int) -> tuple[FrameField, DensityGrid, Tensor, Tensor]:
    """A random field with all that a field can have, a grid that is empty in places, and rays at it."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, spread: float = 1.0) -> Tensor:
        return (torch.randn(shape, generator=generator) * spread).to(device)

    def plane(height: int, width: int, axes: tuple[int, int], low=None, size=None) -> PlaneSpec:
        low = low or (BOX[0][axes[0]], BOX[0][axes[1]])
        size = size or (BOX[1][axes[0]] - low[0], BOX[1][axes[1]] - low[1])
        return PlaneSpec(normal(height * width, 64, spread=0.5), height, width, axes, low, size)

    planes = [plane(64, 64, (0, 1)), plane(64, 48, (2, 1)), plane(48, 64, (0, 2))]
    planes.append(plane(30, 40, (0, 1), (-4.0, -2.0), (9.0, 6.0)))
    shapes = ((64, 64), (64,), (1, 64), (1,), (32, 64), (32,), (3, 32), (3,))
    weights = [normal(*shape, spread=2 * shape[-1] ** -0.5 if len(shape) > 1 else 0.1) for shape in shapes]
    prior = Prior((0.0, -1.5, 4.5), (8.5, 12.0, 10.5), normal(64 * 64, 1, spread=0.3))
    shading = plane(12, 12, (0, 1))
    light = normal(144, 3, spread=0.3)
    field = FrameField(planes, normal(64, spread=0.1), light, shading, weights, prior, normal(64 * 64, 2, spread=0.2))
    grid = DensityGrid(BOX).to(device)
    density, filled = (torch.rand(grid.density.shape, generator=generator) for _ in range(2))
    grid.start(density.to(device), (filled > 0.3).to(device))
    origins = torch.tensor([0.0, 0.0, -60.0], device=device) + normal(rays, 3)
    directions = normal(rays, 3, spread=7.0) - origins
    return field, grid, origins, functional.normalize(directions, dim=-1)


@torch.no_grad()
def readable_picture(
    field: FrameField, grid: DensityGrid, origins: Tensor, directions: Tensor, samples: int
) -> Composite:
    """What ``jean.render.picture_op.picture`` computes, in torch alone; ``weights`` are missing as there."""
    near, far = box_interval(origins, directions, grid.low, grid.high)
    hit, edges = grid.intervals(origins, directions, near, far, samples, COARSE)
    depths, intervals = (edges[:, 1:] + edges[:, :-1]) / 2, edges[:, 1:] - edges[:, :-1]
    positions = (origins[hit][:, None] + directions[hit][:, None] * depths[..., None]).reshape(-1, 3)
    box = field.shading
    if field.bend is not None:
        cells = round(len(field.bend) ** 0.5)
        moved = _lookup(field.bend, cells, cells, box, positions)
        positions = positions + functional.pad(moved, (0, 1))
    second, second_bias, density, density_bias, colour, colour_bias, rgb, rgb_bias = field.weights
    hidden = field.bias + sum(_lookup(p.table, p.height, p.width, p, positions) for p in field.planes)
    hidden = functional.relu(functional.linear(functional.relu(hidden), second, second_bias))
    shade = functional.relu(functional.linear(hidden, colour, colour_bias))
    light = _lookup(field.light, box.height, box.width, box, positions)
    seen = torch.sigmoid(functional.linear(shade, rgb, rgb_bias) + light).view(*depths.shape, 3)
    logarithm = functional.linear(hidden, density, density_bias)[:, 0] + _head(field.prior, box, positions)
    traced = composite(torch.exp(logarithm.clamp(-12.0, 6.0)).view_as(depths), seen, depths, intervals)

    def full(values: Tensor) -> Tensor:
        whole = values.new_zeros(len(hit), *values.shape[1:])
        whole[hit] = values
        return whole

    return Composite(full(traced.channels), full(traced.opacity), full(traced.depth), near.new_empty(len(near), 0))


def _lookup(table: Tensor, height: int, width: int, spec: PlaneSpec, positions: Tensor) -> Tensor:
    """[N, C] of a table [height * width, C] that lies as ``spec`` does."""
    axes = positions[:, list(spec.axes)]
    unit = (axes - axes.new_tensor(spec.low)) / axes.new_tensor(spec.size)
    image = table.T.reshape(1, -1, height, width)
    read = functional.grid_sample(image, (2 * unit - 1)[None, None], padding_mode="border", align_corners=True)
    return read[0, :, 0].T


def _head(prior: Prior, box: PlaneSpec, positions: Tensor) -> Tensor:
    """Log density of the mean head."""
    cells = round(len(prior.relief) ** 0.5)
    deeper = _lookup(prior.relief, cells, cells, box, positions)[:, 0]
    front = (positions[:, 2] < prior.centre[2]).float()
    moved = positions - functional.pad((deeper * front)[:, None], (2, 0))
    scaled = (moved - moved.new_tensor(prior.centre)) / moved.new_tensor(prior.radii)
    return (8.0 * (1.0 - scaled.norm(dim=-1))).clamp(-4.0, 0.5)


CHECKS: dict[str, Callable[[torch.device], float]] = {"picture": check_picture}
