"""Rays as torch operators: compositing with gradients, and where samples go (``csrc/rays.h``)."""

from __future__ import annotations

import torch
from torch import Tensor

from jean.render import native
from jean.render.reference import Composite


def composite(
    density: Tensor, channels: Tensor, depths: Tensor, intervals: Tensor, target: str | None = None
) -> Composite:
    """``jean.render.reference.composite`` by the compiled kernels.

    Args:
        density, depths, intervals: [R, S]; channels: [R, S, C], any C.
        target: instruction set; None for the fastest.

    Raises:
        SetupError: the kernels are not built.
    """
    number = native.DOUBLE if density.dtype == torch.float64 else native.TARGETS[native.target(target)]
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
    target: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Hit [R] bool and edges [H, S + 1] of the rays that hit: ``DensityGrid.intervals``, without gradients.

    Args:
        grid: [D, H, W] sampling densities over the box from ``low`` [3] to ``high`` [3].
        origins, directions: [R, 3], directions of length 1.
        samples: S; coarse: lookups a ray, 256 at most.
        generator: jitter, drawn as the reference draws it; None for the middles.
        target: instruction set; None for the fastest.
    """
    if coarse > native.MAX_COARSE:
        raise ValueError(f"at most {native.MAX_COARSE} lookups a ray, not {coarse}")
    native.check_cells(grid.numel())
    grid, origins, directions = (t.detach().contiguous().float() for t in (grid, origins, directions))
    number, threads = native.TARGETS[native.target(target)], torch.get_num_threads()
    call = native.March(rays=len(origins), coarse=coarse, samples=samples)
    call.cells[:] = grid.shape[::-1]
    call.low[:], call.high[:] = low.tolist(), high.tolist()
    call.grid, call.origins, call.directions = grid.data_ptr(), origins.data_ptr(), directions.data_ptr()
    hit = torch.empty(len(origins), dtype=torch.bool)
    native.call("jean_march_hits", call, hit, number, threads)
    rays = hit.nonzero()[:, 0]
    edges = torch.empty(len(rays), samples + 1)
    quantiles = None
    if generator is not None:
        shift = torch.rand(edges.shape, generator=generator, device=generator.device)
        quantiles = (torch.arange(samples + 1) + shift) / (samples + 1)
    native.call("jean_march_edges", call, rays, len(rays), quantiles, edges, number, threads)
    return hit, edges


@torch.library.custom_op("jean::composite", mutates_args=())
def _composite(
    density: Tensor, channels: Tensor, depths: Tensor, intervals: Tensor, target: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs = [t.detach().contiguous() for t in (density, channels, depths, intervals)]
    made = _empty(density, channels)
    native.call("jean_composite", _rays(inputs, made), target, torch.get_num_threads())
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
    out = native.CompositeGradients(*(None if t is None else t.data_ptr() for t in (*given, *to_inputs)))
    native.call("jean_composite_backward", call, out, target, torch.get_num_threads())
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


def _rays(inputs, made) -> native.CompositeRays:
    rays, samples, channels = inputs[1].shape
    pointers = [None if t is None else t.data_ptr() for t in (*inputs, *made)]
    return native.CompositeRays(rays, samples, channels, *pointers)
