"""Random problems for the checks of GPU kernels, and their solutions in readable torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from jean.kernels.arguments import FrameField, PlaneSpec, Prior
from jean.kernels.ops.mlp import MlpSpec
from jean.kernels.reference import Composite, box_interval, composite, march, scatter


@dataclass(frozen=True)
class SamplingGrid:
    """Densities by which rays place their samples.

    Attributes:
        sampling: [D, H, W], over the box from ``low`` [3] to ``high`` [3], cm.
    """

    sampling: Tensor
    low: Tensor
    high: Tensor


BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))
COARSE = 48


def example(device: torch.device, rays: int) -> tuple[FrameField, SamplingGrid, Tensor, Tensor]:
    """A random field with every optional part, a grid with empty cells, and rays [rays, 3] towards it."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, std: float = 1.0) -> Tensor:
        return (torch.randn(shape, generator=generator) * std).to(device)

    def plane(height: int, width: int, axes: tuple[int, int], low=None, size=None) -> PlaneSpec:
        low = low or (BOX[0][axes[0]], BOX[0][axes[1]])
        size = size or (BOX[1][axes[0]] - low[0], BOX[1][axes[1]] - low[1])
        return PlaneSpec(normal(height * width, 64, std=0.5), height, width, axes, low, size)

    planes = [plane(64, 64, (0, 1)), plane(64, 48, (2, 1)), plane(48, 64, (0, 2))]
    planes.append(plane(30, 40, (0, 1), (-4.0, -2.0), (9.0, 6.0)))
    shapes = ((64, 64), (64,), (1, 64), (1,), (32, 64), (32,), (3, 32), (3,))
    weights = [normal(*shape, std=2 * shape[-1] ** -0.5 if len(shape) > 1 else 0.1) for shape in shapes]
    prior = Prior((0.0, -1.5, 4.5), (8.5, 12.0, 10.5), normal(64 * 64, 1, std=0.3))
    shading = plane(12, 12, (0, 1))
    light = normal(144, 3, std=0.3)
    field = FrameField(planes, normal(64, std=0.1), light, shading, weights, prior, normal(64 * 64, 2, std=0.2))
    density, occupancy = (torch.rand(44, 66, 56, generator=generator) for _ in range(2))
    sampling = torch.where(occupancy > 0.3, 0.1 * density + 0.02, 0.0)  # rays of all opacities
    grid = SamplingGrid(sampling.to(device), *(torch.tensor(corner, device=device) for corner in BOX))
    origins = torch.tensor([0.0, 0.0, -60.0], device=device) + normal(rays, 3)
    directions = normal(rays, 3, std=7.0) - origins
    return field, grid, origins, functional.normalize(directions, dim=-1)


@torch.no_grad()
def readable_picture(
    field: FrameField,
    grid: SamplingGrid,
    origins: Tensor,
    directions: Tensor,
    samples: int,
    full_samples_opacity: float = 0.0,
) -> Composite:
    """``jean.kernels.ops.render.render_rays_fused`` in torch alone."""
    near, far = box_interval(origins, directions, grid.low, grid.high)
    sampled = (grid.sampling, grid.low, grid.high)
    hit, edges = march(
        *sampled, origins, directions, near, far, samples, COARSE, full_samples_opacity=full_samples_opacity
    )
    depths, intervals = (edges[:, 1:] + edges[:, :-1]) / 2, edges[:, 1:] - edges[:, :-1]
    positions = (origins[hit][:, None] + directions[hit][:, None] * depths[..., None]).reshape(-1, 3)
    box = field.shading
    if field.bend is not None:
        cells = round(len(field.bend) ** 0.5)
        shift = _lookup(field.bend, cells, cells, box, positions)
        positions = positions + functional.pad(shift, (0, 1))
    second, second_bias, density, density_bias, colour, colour_bias, rgb, rgb_bias = field.weights
    hidden = field.bias + sum(_lookup(p.table, p.height, p.width, p, positions) for p in field.planes)
    hidden = functional.relu(functional.linear(functional.relu(hidden), second, second_bias))
    shade = functional.relu(functional.linear(hidden, colour, colour_bias))
    light = _lookup(field.light, box.height, box.width, box, positions)
    colours = torch.sigmoid(functional.linear(shade, rgb, rgb_bias) + light).view(*depths.shape, 3)
    logarithm = functional.linear(hidden, density, density_bias)[:, 0] + _head(field.prior, box, positions)
    traced = composite(torch.exp(logarithm.clamp(-12.0, 6.0)).view_as(depths), colours, depths, intervals)
    return scatter(traced, hit)


def _lookup(table: Tensor, height: int, width: int, spec: PlaneSpec, positions: Tensor) -> Tensor:
    """[N, C] bilinear lookups in a table [height * width, C] with the layout of ``spec``."""
    axes = positions[:, list(spec.axes)]
    unit = (axes - axes.new_tensor(spec.low)) / axes.new_tensor(spec.size)
    # slightly less than the last index, so that all four cells exist
    across, down = (unit[:, i] * (cells - 1) for i, cells in enumerate((width, height)))
    across, down = across.clamp(0.0, width - 1.001), down.clamp(0.0, height - 1.001)
    column, line = across.detach().long(), down.detach().long()
    right, below, at = (across - column)[:, None], (down - line)[:, None], line * width + column
    upper = (1 - right) * table[at] + right * table[at + 1]
    return (1 - below) * upper + below * ((1 - right) * table[at + width] + right * table[at + width + 1])


def _head(prior: Prior, box: PlaneSpec, positions: Tensor) -> Tensor:
    """Log density [N] of the mean head."""
    cells = round(len(prior.relief) ** 0.5)
    deeper = _lookup(prior.relief, cells, cells, box, positions.detach())[:, 0]  # the relief has no gradients
    front = (positions[:, 2] < prior.centre[2]).float()
    shifted = positions - functional.pad((deeper * front)[:, None], (2, 0))
    scaled = (shifted - shifted.new_tensor(prior.centre)) / shifted.new_tensor(prior.radii)
    return (8.0 * (1.0 - scaled.norm(dim=-1))).clamp(-4.0, 0.5)


Triplane = tuple[
    Tensor, Tensor, Tensor, Tensor, Tensor, list[PlaneSpec], PlaneSpec, list[Tensor], Prior, Tensor
]  # the arguments of jean.kernels.ops.triplane.triplane_field


def example_triplane(device: torch.device, samples: int) -> Triplane:
    """Random samples of two alternating frames in a random fast field with two gated planes."""
    template, _, _, _ = example(device, 1)
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int, std: float = 1.0) -> Tensor:
        return (torch.randn(shape, generator=generator) * std).to(device)

    planes = [replace(plane, table=normal(plane.height * plane.width, 16)) for plane in template.planes]
    weights = [normal(64, 16 * len(planes), std=0.2), *template.weights]
    low, high = (torch.tensor(corner) for corner in BOX)
    positions = torch.rand(samples, 3, generator=generator) * (high - low) + low
    gates, bias, light = [normal(2, 32), normal(2, 64, std=0.1), normal(2, 144, 3, std=0.3)]
    bend = normal(2, 64 * 64, 2, std=0.2)
    frame = (torch.arange(samples) % 2).to(device)
    shading, prior = template.shading, template.prior
    return positions.to(device), frame, gates, bias, light, planes, shading, weights, prior, bend


def readable_triplane(
    positions: Tensor,
    frame: Tensor,
    gates: Tensor,
    bias: Tensor,
    light: Tensor,
    planes: Sequence[PlaneSpec],
    shading: PlaneSpec,
    weights: Sequence[Tensor],
    prior: Prior,
    bend: Tensor,
) -> tuple[Tensor, Tensor]:
    """``jean.kernels.ops.triplane.triplane_field`` in torch alone."""

    def of_frame(tables: Tensor, cells: int, points: Tensor) -> Tensor:
        values = torch.stack([_lookup(table, cells, cells, shading, points) for table in tables])
        return values[frame, torch.arange(len(frame), device=frame.device)]

    shift = of_frame(bend, round(bend.shape[1] ** 0.5), positions.detach())
    positions = positions + functional.pad(shift, (0, 1))
    features = torch.cat([_lookup(p.table, p.height, p.width, p, positions) for p in planes], -1)
    ungated = features.shape[1] - gates.shape[1]
    features = torch.cat([features[:, :ungated], features[:, ungated:] * gates[frame]], -1)
    first, second, second_bias, density, density_bias, colour, colour_bias, rgb, rgb_bias = weights
    hidden = functional.relu(functional.linear(features, first) + bias[frame])
    hidden = functional.relu(functional.linear(hidden, second, second_bias))
    shade = functional.relu(functional.linear(hidden, colour, colour_bias))
    logarithm = functional.linear(hidden, density, density_bias)[:, 0] + _head(prior, shading, positions)
    colours = torch.sigmoid(functional.linear(shade, rgb, rgb_bias) + of_frame(light, shading.height, positions))
    return torch.exp(logarithm.clamp(-12.0, 6.0)), colours


def example_mlp(device: torch.device, samples: int) -> tuple[Tensor, Tensor, MlpSpec]:
    """Positions [N, 3], frames [N] and a random field of the paper's shape; half of the volume has no density."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, std: float = 1.0) -> Tensor:
        return (torch.randn(shape, generator=generator) * std).to(device)

    inputs, outputs = [63, *[128] * 4, 191, *[128] * 3, 64, 64], [128] * 8 + [64] * 3
    weights = [normal(o, i, std=(2 / i) ** 0.5) for i, o in zip(inputs, outputs, strict=True)]
    biases = [normal(*([2] if i in (63, 191) else []), len(w), std=0.1) for i, w in zip(inputs, weights, strict=True)]
    ends = [normal(1, 128, std=0.2), normal(1), normal(3, 64, std=0.2), normal(3)]
    low, high = (torch.tensor(corner) for corner in BOX)

    def corners(values: Tensor) -> tuple[float, float, float]:
        x, y, z = values.tolist()
        return x, y, z

    middle, reach = corners((low + high) / 2), corners((high - low) / 2)
    spec = MlpSpec(weights, biases, ends, 8, 5, middle, reach, 2)
    positions = torch.rand(samples, 3, generator=generator) * (high - low) + low
    return positions.to(device), torch.randint(2, (samples,), generator=generator).to(device), spec


def readable_mlp(positions: Tensor, frame: Tensor, spec: MlpSpec) -> tuple[Tensor, Tensor]:
    """``jean.kernels.ops.mlp.mlp_field`` in torch alone."""
    unit = (positions - positions.new_tensor(spec.middle)) / positions.new_tensor(spec.reach)
    waves = [wave(2.0**octave * unit) for octave in range(10) for wave in (torch.sin, torch.cos)]
    encoded = torch.cat([unit, *waves], -1)
    values = encoded
    for index, (weight, bias) in enumerate(zip(spec.weights, spec.biases, strict=True)):
        if index == spec.join:
            values = torch.cat([encoded, values], -1)
        if index == spec.trunk:
            density = functional.relu(functional.linear(values, spec.ends[0], spec.ends[1]))[:, 0]
        values = functional.relu(functional.linear(values, weight) + (bias[frame] if bias.dim() == 2 else bias))
    return density, torch.sigmoid(functional.linear(values, spec.ends[2], spec.ends[3]))


def example_gaussians(device: torch.device, colours: int, count: int = 400) -> tuple[list[Tensor], list[Tensor]]:
    """Random Gaussians, some of them behind the camera or off the picture, and a camera of 48 px.

    Returns:
        Centres, scales, rotations, opacities and colours; world_to_camera and intrinsics.
    """
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    centres, scales = normal(count, 3) * 5, (normal(count, 3) * 0.5).exp() * 0.6
    centres[::40] *= 20
    gaussians = [centres, scales, normal(count, 4), (2 * normal(count)).sigmoid(), normal(count, colours)]
    pose = torch.tensor([[0.8, 0.0, 0.6, 1.0], [0.0, 1.0, 0.0, -1.0], [-0.6, 0.0, 0.8, 50.0]])
    camera = [pose, torch.tensor([130.0, 25.0, 22.0])]
    return [tensor.to(device) for tensor in gaussians], [tensor.to(device) for tensor in camera]
