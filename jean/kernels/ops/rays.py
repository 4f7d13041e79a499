"""Rays as torch operators (``csrc/rays.h``): where samples lie, and compositing with gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jean.kernels import library, structures
from jean.kernels.arguments import cached_list, fill_march
from jean.kernels.ops.common import contiguous, pointers, target_number
from jean.kernels.reference import UNIFORM_WEIGHT, Composite, quantile_grid


def composite(
    density: Tensor, channels: Tensor, depths: Tensor, intervals: Tensor, target: str | None = None
) -> Composite:
    """``jean.kernels.reference.composite`` by the compiled kernels.

    Args:
        density, depths, intervals: [R, S].
        channels: [R, S, C].
        target: CPU instruction set; None: the fastest.

    Raises:
        SetupError: the kernels are not built.
    """
    number = _target(target, density.device, density.dtype)
    channels, depths, intervals = (t.to(density.dtype) for t in (channels, depths, intervals))  # as under autocast
    return Composite(*torch.ops.jean.composite(density, channels, depths, intervals, number))


def march(
    grid: Tensor,
    low: Tensor,
    high: Tensor,
    origins: Tensor,
    directions: Tensor,
    samples: int,
    coarse: int,
    generator: torch.Generator | None,
    uniform_weight: float = UNIFORM_WEIGHT,
    full_samples_opacity: float = 0.0,
    target: str | None = None,
) -> tuple[Tensor, Tensor]:
    """``jean.kernels.reference.march`` by the compiled kernels, for the rays that hit, without gradients.

    Args:
        grid: [D, H, W] sampling densities over the box from ``low`` [3] to ``high`` [3].
        origins: [R, 3], cm.
        directions: [R, 3], of length 1.
        samples: S intervals per ray.
        coarse: grid lookups per ray, at most 256, on a GPU 64.
        generator: jitter, drawn as the reference draws it; None: the middles.
        uniform_weight: see the reference.
        full_samples_opacity: see the reference; with a generator all rays get all samples.
        target: CPU instruction set; None: the fastest.

    Returns:
        hit [R] bool and edges [H, S + 1] of the H rays that hit occupied space.

    Raises:
        ValueError: more lookups than the kernels take.
    """
    grid, origins, directions = (t.float() for t in contiguous([grid, origins, directions]))
    device, box = origins.device, [*cached_list(low), *cached_list(high)]
    number = _target(target, device)
    call = _march(grid, box, origins, directions, samples, coarse, uniform_weight, full_samples_opacity)
    hit = torch.empty(len(origins), dtype=torch.bool, device=device)
    _run("jean_march_hits", len(hit), number, device, call, hit)
    rays = hit.nonzero()[:, 0]
    edges = torch.empty(len(rays), samples + 1, device=device)
    quantiles = None if generator is None else quantile_grid(len(rays), samples + 1, generator, device)
    _run("jean_march_edges", len(rays), number, device, call, rays, len(rays), quantiles, edges)
    return hit, edges


def march_every(
    grid: Tensor,
    low: Tensor,
    high: Tensor,
    origins: Tensor,
    directions: Tensor,
    samples: int,
    coarse: int,
    generator: torch.Generator | None,
    uniform_weight: float = UNIFORM_WEIGHT,
) -> tuple[Tensor, Tensor]:
    """As ``march``, with edges [R, S + 1] for every ray; those of rays that hit nothing have no meaning."""
    quantiles = quantile_grid(len(origins), samples + 1, generator, origins.device)
    box = [*cached_list(low), *cached_list(high)]
    return torch.ops.jean.march_every(grid, origins, directions, quantiles, box, samples, coarse, uniform_weight)


@torch.library.custom_op("jean::march_every", mutates_args=())
def _march_every(
    grid: Tensor,
    origins: Tensor,
    directions: Tensor,
    quantiles: Tensor,
    box: list[float],
    samples: int,
    coarse: int,
    uniform_weight: float,
) -> tuple[Tensor, Tensor]:
    grid, origins, directions = (t.float() for t in contiguous([grid, origins, directions]))
    count, device = len(origins), origins.device
    call, number = _march(grid, box, origins, directions, samples, coarse, uniform_weight, 0.0), _target(None, device)
    hit = torch.empty(count, dtype=torch.bool, device=device)
    edges, rays = torch.empty(count, samples + 1, device=device), torch.arange(count, device=device)
    _run("jean_march_hits", count, number, device, call, hit)
    _run("jean_march_edges", count, number, device, call, rays, count, quantiles.contiguous(), edges)
    return hit, edges


@_march_every.register_fake
def _(grid, origins, directions, quantiles, box, samples, coarse, uniform_weight):
    rays = origins.shape[0]
    return origins.new_empty(rays, dtype=torch.bool), origins.new_empty(rays, samples + 1)


def _march(
    grid: Tensor, box: list[float], origins: Tensor, directions: Tensor, samples: int, coarse: int, *weights: float
):
    """``fill_march``, after a check of the number of lookups."""
    most = structures.CUDA_COARSE if origins.is_cuda else structures.MAX_COARSE
    if coarse > most:
        raise ValueError(f"at most {most} lookups per ray, not {coarse}")
    return fill_march(grid, origins, directions, box, samples, coarse, *weights)


def _target(target: str | None, device: torch.device, dtype: torch.dtype = torch.float32) -> int:
    """Number of the CPU's instruction set; 0 for a GPU, which has none."""
    if device.type == "cpu" or dtype == torch.float64:
        return target_number(dtype, target)
    return 0


def _run(name: str, rays: int, target: int, device: torch.device, *arguments: Any) -> None:
    """Calls a function of the library, or launches the GPU kernel of the same name and arguments."""
    if device.type == "cpu":
        library.call(name, *arguments, target, torch.get_num_threads())
    else:
        from jean.kernels.cuda.launch import launch_rays  # the CPU needs none of it

        launch_rays(name, rays, device, *arguments)


@torch.library.custom_op("jean::composite", mutates_args=())
def _composite(
    density: Tensor, channels: Tensor, depths: Tensor, intervals: Tensor, target: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs, outputs = contiguous([density, channels, depths, intervals]), _empty(density, channels)
    _run("jean_composite", len(density), target, density.device, _rays(inputs, outputs))
    return outputs


@_composite.register_fake
def _(density, channels, depths, intervals, target):
    return _empty(density, channels)


@torch.library.custom_op("jean::composite_backward", mutates_args=())
def _composite_backward(
    to_outputs: list[Tensor | None], weights: Tensor, inputs: list[Tensor], target: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    weights, *inputs = contiguous([weights, *inputs])
    flow = [None if t is None else t.detach().contiguous() for t in to_outputs]
    gradients = [torch.empty_like(t) for t in inputs]
    call = _rays(inputs, [None, None, None, weights])
    out = structures.CompositeGradients(*pointers([*flow, *gradients]))
    _run("jean_composite_backward", len(weights), target, weights.device, call, out)
    return gradients[0], gradients[1], gradients[2], gradients[3]


@_composite_backward.register_fake
def _(to_outputs, weights, inputs, target):
    return tuple(torch.empty_like(t, memory_format=torch.contiguous_format) for t in inputs)


def _setup_context(ctx, inputs, output) -> None:
    *tensors, ctx.target = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, output[3])


def _backward(ctx, *to_outputs):
    *inputs, weights = ctx.saved_tensors
    return *torch.ops.jean.composite_backward(list(to_outputs), weights, inputs, ctx.target), None


_composite.register_autograd(_backward, setup_context=_setup_context)


def _empty(density: Tensor, channels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Memory for colour, opacity, depth and weights."""
    (rays, samples), make = density.shape, density.new_empty
    return make(rays, channels.shape[2]), make(rays), make(rays), make(rays, samples)


def _rays(inputs: Sequence[Tensor], outputs: Sequence[Tensor | None]) -> structures.CompositeRays:
    return structures.CompositeRays(*inputs[1].shape, *pointers([*inputs, *outputs]))
