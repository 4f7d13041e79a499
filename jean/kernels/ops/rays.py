"""Rays as torch operators: compositing with gradients, and where samples go (``csrc/rays.h``)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from jean.kernels import library, structures
from jean.kernels.arguments import on_host
from jean.kernels.reference import SPREAD, Composite, quantile_grid


def composite(
    density: Tensor, channels: Tensor, depths: Tensor, intervals: Tensor, target: str | None = None
) -> Composite:
    """``jean.kernels.reference.composite`` by the compiled kernels.

    Args:
        density, depths, intervals: [R, S]; channels: [R, S, C], any C.
        target: instruction set; None for the fastest.

    Raises:
        SetupError: the kernels are not built.
    """
    number = library.DOUBLE if density.dtype == torch.float64 else _number(target, density.device)
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
    spread: float = SPREAD,
    thick: float = 0.0,
    target: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Hit [R] bool and edges [H, S + 1] of the rays that hit: ``DensityGrid.intervals``, without gradients.

    Args:
        grid: [D, H, W] sampling densities over the box from ``low`` [3] to ``high`` [3].
        origins, directions: [R, 3], directions of length 1.
        samples: S; coarse: lookups a ray, 256 at most, on a card 64.
        generator: jitter, drawn as the reference draws it; None for the middles.
        spread, thick: as of ``DensityGrid.intervals``; with a generator all rays get all samples.
        target: instruction set; None for the fastest.
    """
    grid, origins, directions = (t.detach().contiguous().float() for t in (grid, origins, directions))
    device = origins.device
    number = _number(target, device)
    call = _march(grid, [*on_host(low), *on_host(high)], origins, directions, samples, coarse, spread, thick)
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
    spread: float = SPREAD,
) -> tuple[Tensor, Tensor]:
    """As ``march``, with edges [R, S + 1] for every ray; those of rays that hit nothing mean nothing."""
    quantiles = quantile_grid(len(origins), samples + 1, generator, origins.device)
    box = [*on_host(low), *on_host(high)]
    return torch.ops.jean.march_every(grid, origins, directions, quantiles, box, samples, coarse, spread)


@torch.library.custom_op("jean::march_every", mutates_args=())
def _march_every(
    grid: Tensor,
    origins: Tensor,
    directions: Tensor,
    quantiles: Tensor,
    box: list[float],
    samples: int,
    coarse: int,
    spread: float,
) -> tuple[Tensor, Tensor]:
    grid, origins, directions = (t.detach().contiguous().float() for t in (grid, origins, directions))
    count, device = len(origins), origins.device
    call, number = _march(grid, box, origins, directions, samples, coarse, spread, 0.0), _number(None, device)
    hit = torch.empty(count, dtype=torch.bool, device=device)
    edges, rays = torch.empty(count, samples + 1, device=device), torch.arange(count, device=device)
    _run("jean_march_hits", count, number, device, call, hit)
    _run("jean_march_edges", count, number, device, call, rays, count, quantiles.contiguous(), edges)
    return hit, edges


@_march_every.register_fake
def _(grid, origins, directions, quantiles, box, samples, coarse, spread):
    rays = origins.shape[0]
    return origins.new_empty(rays, dtype=torch.bool), origins.new_empty(rays, samples + 1)


def _march(
    grid: Tensor,
    box: list[float],
    origins: Tensor,
    directions: Tensor,
    samples: int,
    coarse: int,
    spread: float,
    thick: float,
) -> structures.March:
    """The C structure; tensors are contiguous float32 and must live as long as it; ``box``: low, then high."""
    most = structures.CUDA_COARSE if origins.is_cuda else structures.MAX_COARSE
    if coarse > most:
        raise ValueError(f"at most {most} lookups a ray, not {coarse}")
    structures.check_cells(grid.numel())
    call = structures.March(rays=len(origins), coarse=coarse, samples=samples, spread=spread, thick=thick)
    call.cells[:] = grid.shape[::-1]
    call.low[:], call.high[:] = box[:3], box[3:]
    call.grid, call.origins, call.directions = grid.data_ptr(), origins.data_ptr(), directions.data_ptr()
    return call


def _number(target: str | None, device: torch.device) -> int:
    """Of the processor's instruction set; a card has none."""
    return library.TARGETS[library.target(target)] if device.type == "cpu" else 0


def _run(name: str, rays: int, target: int, device: torch.device, *arguments: Any) -> None:
    """Calls a function of the library, or the kernel of the same name and arguments."""
    if device.type == "cpu":
        library.call(name, *arguments, target, torch.get_num_threads())
    else:
        from jean.kernels.cuda.launch import launch_rays  # a processor needs none of it

        launch_rays(name, rays, device, *arguments)


@torch.library.custom_op("jean::composite", mutates_args=())
def _composite(
    density: Tensor, channels: Tensor, depths: Tensor, intervals: Tensor, target: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs = [t.detach().contiguous() for t in (density, channels, depths, intervals)]
    made = _empty(density, channels)
    _run("jean_composite", len(density), target, density.device, _rays(inputs, made))
    return made


@_composite.register_fake
def _(density, channels, depths, intervals, target):
    return _empty(density, channels)


@torch.library.custom_op("jean::composite_backward", mutates_args=())
def _composite_backward(
    to_made: list[Tensor | None], weights: Tensor, inputs: list[Tensor], target: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs = [t.detach().contiguous() for t in inputs]
    given = [None if t is None else t.detach().contiguous() for t in to_made]
    to_inputs = [torch.empty_like(t) for t in inputs]
    weights = weights.detach().contiguous()
    call = _rays(inputs, [None, None, None, weights])
    out = structures.CompositeGradients(*(None if t is None else t.data_ptr() for t in (*given, *to_inputs)))
    _run("jean_composite_backward", len(weights), target, weights.device, call, out)
    return to_inputs[0], to_inputs[1], to_inputs[2], to_inputs[3]


@_composite_backward.register_fake
def _(to_made, weights, inputs, target):
    return tuple(torch.empty_like(t, memory_format=torch.contiguous_format) for t in inputs)


def _setup_context(ctx, inputs, output) -> None:
    *tensors, ctx.target = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, output[3])


def _backward(ctx, *to_made):
    *inputs, weights = ctx.saved_tensors
    return *torch.ops.jean.composite_backward(list(to_made), weights, inputs, ctx.target), None


_composite.register_autograd(_backward, setup_context=_setup_context)


def _empty(density: Tensor, channels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rays, samples = density.shape
    make = density.new_empty
    return make(rays, channels.shape[2]), make(rays), make(rays), make(rays, samples)


def _rays(inputs, made) -> structures.CompositeRays:
    rays, samples, channels = inputs[1].shape
    pointers = [None if t is None else t.data_ptr() for t in (*inputs, *made)]
    return structures.CompositeRays(rays, samples, channels, *pointers)
