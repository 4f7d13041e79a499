"""Rays through the fast field as one torch operator (``csrc/trace.h``): samples, field and compositing at once.

What lies between them (a hundred thousand positions, depths, densities, colours and their gradients) then never
becomes a tensor of torch's, and is worked on while it is in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jean.kernels import library, structures
from jean.kernels.ops.triplane import (
    PlaneSpec,
    Prior,
    _contiguous,
    _field,
    field_gradients,
    field_numbers,
    gradients_call,
)
from jean.kernels.reference import Composite
from jean.kernels.structures import RayGradients, Rays


@dataclass(frozen=True)
class FieldOfFrames:
    """The fast field under the conditions of F frames; see ``triplane_field`` for each.

    Attributes:
        gates, bias, light: of each frame.
        planes, shading, weights, prior: of all.
        bend: of each frame, or None.
    """

    gates: Tensor
    bias: Tensor
    light: Tensor
    planes: Sequence[PlaneSpec]
    shading: PlaneSpec
    weights: Sequence[Tensor]
    prior: Prior
    bend: Tensor | None = None


def trace(
    origins: Tensor,
    directions: Tensor,
    hit: Tensor,
    edges: Tensor,
    frame: Tensor,
    field: FieldOfFrames,
    target: str | None = None,
) -> Composite:
    """What rays show of the fast field; without the samples' weights.

    Args:
        origins: [R, 3], directions: [R, 3], of length 1.
        hit: [R] bool, rays that meet anything; the others show nothing.
        edges: [H, S + 1] of the intervals of those that do, S up to 64.
        frame: [R] int, each ray's frame.
        field: what they go through.
        target: instruction set; None for the fastest.

    Raises:
        SetupError: the kernels are not built.
    """
    if edges.shape[1] - 1 > structures.MAX_SAMPLES:
        raise ValueError(f"at most {structures.MAX_SAMPLES} samples a ray, not {edges.shape[1] - 1}")
    number = library.DOUBLE if origins.dtype == torch.float64 else library.TARGETS[library.target(target)]
    layout, box = field_numbers(field.planes, field.shading, field.prior)
    still = [field.prior.relief.detach(), origins.new_empty(0) if field.bend is None else field.bend.detach()]
    rays = hit.nonzero()[:, 0]
    tables, weights = [plane.table for plane in field.planes], list(field.weights)
    colour, opacity, depth, *_ = torch.ops.jean.trace(
        origins, directions, edges, rays, frame.int(), field.gates, field.bias, field.light, still, tables, weights,
        layout, box, number,
    )  # fmt: skip
    return Composite(colour, opacity, depth, depth.new_empty(len(origins), 0))


@torch.library.custom_op("jean::trace", mutates_args=())
def _trace(
    origins: Tensor,
    directions: Tensor,
    edges: Tensor,
    rays: Tensor,
    frame: Tensor,
    gates: Tensor,
    bias: Tensor,
    light: Tensor,
    still: list[Tensor],
    tables: list[Tensor],
    weights: list[Tensor],
    layout: list[int],
    box: list[float],
    target: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    made = _empty(origins, edges, tables, weights)
    samples, frames = made[3], made[4]
    for tensor in made[:3]:
        tensor.zero_()  # rays that are not listed show nothing
    kept = _contiguous([origins, directions, edges, rays, frame])
    tensors = _contiguous([samples, *still, gates, bias, light, *weights, *tables])
    field = _field(tensors, [None] * len(tables), layout, box)
    call = _rays(kept, made[:3])
    library.call("jean_trace_forward", field, _samples(samples, frames, made[5]), call, target, torch.get_num_threads())
    return made


@_trace.register_fake
def _(origins, directions, edges, rays, frame, gates, bias, light, still, tables, weights, layout, box, target):
    return _empty(origins, edges, tables, weights)


@torch.library.custom_op("jean::trace_backward", mutates_args=())
def _trace_backward(
    to_made: list[Tensor],
    made: list[Tensor],
    origins: Tensor,
    directions: Tensor,
    edges: Tensor,
    rays: Tensor,
    frame: Tensor,
    gates: Tensor,
    bias: Tensor,
    light: Tensor,
    still: list[Tensor],
    tables: list[Tensor],
    weights: list[Tensor],
    layout: list[int],
    box: list[float],
    target: int,
    move: bool,
) -> list[Tensor]:
    samples, frames, saved = made
    kept = _contiguous([origins, directions, edges, rays, frame])
    to_made = _contiguous(to_made)
    tensors = _contiguous([samples, *still, gates, bias, light, *weights, *tables])
    to_tables, to_shared = field_gradients(tables, (gates, bias, light, *weights))
    to_rays = [torch.zeros_like(t) for t in kept[:3]] if move else [origins.new_empty(0)] * 3
    room = origins.new_empty(len(frames), 3) if move else None  # it has to live until the call is over
    out = gradients_call(to_shared, room)
    moved = [to_rays[index].data_ptr() if move else None for index in (2, 0, 1)]
    through = RayGradients(*(t.data_ptr() for t in to_made), *moved)
    library.call(
        "jean_trace_backward",
        _field(tensors, to_tables, layout, box),
        _samples(samples, frames, saved),
        _rays(kept, [None] * 3),
        through,
        out,
        target,
        torch.get_num_threads(),
    )
    return [*(to_rays if move else [origins.new_empty(0) for _ in range(3)]), *to_shared, *to_tables]


@_trace_backward.register_fake
def _(
    to_made, made, origins, directions, edges, rays, frame, gates, bias, light, still, tables, weights, layout, box,
    target, move,
):  # fmt: skip
    first = [torch.empty_like(t) if move else t.new_empty(0) for t in (origins, directions, edges)]
    return [*first, *(torch.empty_like(t) for t in (gates, bias, light, *weights, *tables))]


def _setup_context(ctx, inputs, output) -> None:
    *tensors, still, tables, weights, layout, box, target = inputs
    ctx.mark_non_differentiable(*output[3:])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*output[3:], *tensors, *still, *tables, *weights)
    ctx.settings = (len(tables), layout, box, target)


def _backward(ctx, *to_made):
    count, layout, box, target = ctx.settings
    *made, origins, directions, edges, rays, frame, gates, bias, light, relief, bend = ctx.saved_tensors[:13]
    tables, weights = ctx.saved_tensors[13 : 13 + count], ctx.saved_tensors[13 + count :]
    shapes = ((len(origins), 3), (len(origins),), (len(origins),))
    given = [origins.new_zeros(shape) if t is None else t for t, shape in zip(to_made[:3], shapes, strict=True)]
    move = any(ctx.needs_input_grad[:3])
    to_origins, to_directions, to_edges, to_gates, to_bias, to_light, *others = torch.ops.jean.trace_backward(
        given, made, origins, directions, edges, rays, frame, gates, bias, light, [relief, bend], list(tables),
        list(weights), layout, box, target, move,
    )  # fmt: skip
    to_rays = (to_origins, to_directions, to_edges) if move else (None, None, None)
    to_weights, to_tables = others[: len(weights)], others[len(weights) :]
    return *to_rays, None, None, to_gates, to_bias, to_light, [None, None], to_tables, to_weights, None, None, None


_trace.register_autograd(_backward, setup_context=_setup_context)


def _empty(
    origins: Tensor, edges: Tensor, tables: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Colour, opacity, depth; then what the way back needs: of each sample 3 + 1 + 3 numbers, its frame, its layers."""
    rays, make = origins.shape[0], origins.new_empty
    samples = edges.shape[0] * (edges.shape[1] - 1)
    rows = (samples + structures.TILE - 1) // structures.TILE * structures.TILE
    # features, two hidden layers, the colour's layer, and the log density, which is last
    width = (len(tables) + 1) * structures.CHANNELS + 2 * weights[0].shape[0] + weights[5].shape[0]
    saved = make(rows, width)
    return make(rays, 3), make(rays), make(rays), make(7, samples), make(samples, dtype=torch.int32), saved


def _samples(samples: Tensor, frames: Tensor, saved: Tensor) -> structures.Samples:
    """Positions [N, 3], densities [N] and colours [N, 3] lie one after the other in ``samples`` [7, N]."""
    places, density, rgb = (samples.data_ptr() + row * len(frames) * samples.element_size() for row in (0, 3, 4))
    return structures.Samples(len(frames), places, frames.data_ptr(), density, rgb, saved.data_ptr())


def _rays(kept: Sequence[Tensor], made: Sequence[Tensor | None]) -> Rays:
    origins, directions, edges, rays, frame = kept
    pointers = (t if t is None else t.data_ptr() for t in (rays, frame, origins, directions, edges, *made))
    return Rays(len(rays), edges.shape[1] - 1, *pointers)
