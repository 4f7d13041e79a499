"""Rays through the fast field as a torch operator: samples, field and compositing in one call (``csrc/trace.h``).

Positions, depths, densities, colours and their gradients then never become torch tensors, and each block of rays is
finished while its numbers are in the CPU's cache. For training; a GPU composes the same from ``triplane_field`` and
``composite``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jean.kernels import library, structures
from jean.kernels.arguments import PlaneSpec, Prior
from jean.kernels.ops.common import contiguous, pointers, target_number
from jean.kernels.ops.triplane import (
    FIXED,
    SHARED,
    empty_gradients,
    field_layout,
    field_tensors,
    fill_field,
    fill_gradients,
    saved_width,
    whole_tiles,
)
from jean.kernels.reference import Composite


@dataclass(frozen=True)
class FieldOfFrames:
    """The fast field under the conditions of F frames; see ``jean.kernels.ops.triplane.triplane_field`` for shapes.

    Attributes:
        gates, bias, light: per frame.
        planes, shading, weights, prior: of all frames.
        bend: deformation to canonical space, per frame, or None.
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
    """Composites of rays through the fast field, without the weights of their samples.

    Args:
        origins: [R, 3], head space, cm.
        directions: [R, 3], of length 1.
        hit: [R] bool, rays that meet occupied space; the others stay zero.
        edges: [H, S + 1] edges of the sampling intervals of the H rays that hit; S is at most 64.
        frame: [R] int, the frame of each ray.
        field: the field under the frames' conditions.
        target: CPU instruction set; None: the fastest.

    Raises:
        SetupError: the kernels are not built.
        ValueError: more than 64 samples per ray.
    """
    if edges.shape[1] - 1 > structures.MAX_SAMPLES:
        raise ValueError(f"at most {structures.MAX_SAMPLES} samples per ray, not {edges.shape[1] - 1}")
    f = field
    tensors = field_tensors(origins, f.gates, f.bias, f.light, f.planes, f.weights, f.prior, f.bend)
    rays = [origins, directions, edges, hit.nonzero()[:, 0], frame.int()]
    colour, opacity, depth, *_ = torch.ops.jean.trace(
        *rays, tensors, *field_layout(f.planes, f.shading, f.prior), target_number(origins.dtype, target)
    )
    return Composite(colour, opacity, depth, depth.new_empty(len(origins), 0))


@torch.library.custom_op("jean::trace", mutates_args=())
def _trace(
    origins: Tensor,
    directions: Tensor,
    edges: Tensor,
    rays: Tensor,
    frame: Tensor,
    tensors: list[Tensor],
    sizes: list[int],
    box: list[float],
    target: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    outputs = _empty(origins, edges, tensors)
    for tensor in outputs[:3]:
        tensor.zero_()  # the kernels write listed rays only
    inputs, tensors = contiguous([origins, directions, edges, rays, frame]), contiguous(tensors)
    field = fill_field(tensors, sizes, box)
    samples, call = _samples(*outputs[3:]), _rays(inputs, outputs[:3])
    library.call("jean_trace_forward", field, samples, call, target, torch.get_num_threads())
    return outputs


@_trace.register_fake
def _(origins, directions, edges, rays, frame, tensors, sizes, box, target):
    return _empty(origins, edges, tensors)


@torch.library.custom_op("jean::trace_backward", mutates_args=())
def _trace_backward(
    to_outputs: list[Tensor],
    saved: list[Tensor],
    inputs: list[Tensor],
    tensors: list[Tensor],
    sizes: list[int],
    box: list[float],
    target: int,
    with_rays: bool,
) -> list[Tensor]:
    inputs, tensors, to_outputs = contiguous(inputs), contiguous(tensors), contiguous(to_outputs)
    gradients = empty_gradients(tensors)
    to_origins, to_directions, to_edges = _ray_gradients(inputs, with_rays)
    # scratch memory of the kernels, which has to live until the call is over
    to_positions = inputs[0].new_empty(saved[0].shape[1], 3) if with_rays else None
    wanted = [to_edges, to_origins, to_directions] if with_rays else [None] * 3
    library.call(
        "jean_trace_backward",
        fill_field(tensors, sizes, box, gradients[SHARED:]),
        _samples(*saved),
        _rays(inputs, [None] * 3),
        structures.RayGradients(*pointers([*to_outputs, *wanted])),
        fill_gradients(gradients, to_positions),
        target,
        torch.get_num_threads(),
    )
    return [to_origins, to_directions, to_edges, *gradients]


@_trace_backward.register_fake
def _(to_outputs, saved, inputs, tensors, sizes, box, target, with_rays):
    return [*_ray_gradients(inputs, with_rays), *(torch.empty_like(tensor) for tensor in tensors[FIXED:])]


def _setup_context(ctx, inputs, output) -> None:
    *rays, tensors, sizes, box, target = inputs
    ctx.mark_non_differentiable(*output[3:])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*output[3:], *rays, *tensors)
    ctx.settings = (sizes, box, target)


def _backward(ctx, *to_outputs):
    saved, inputs, tensors = ctx.saved_tensors[:3], ctx.saved_tensors[3:8], ctx.saved_tensors[8:]
    origins = inputs[0]
    shapes = ((len(origins), 3), (len(origins),), (len(origins),))
    flow = [origins.new_zeros(shape) if t is None else t for t, shape in zip(to_outputs[:3], shapes, strict=True)]
    with_rays = any(ctx.needs_input_grad[:3])
    to_origins, to_directions, to_edges, *gradients = torch.ops.jean.trace_backward(
        flow, list(saved), list(inputs), list(tensors), *ctx.settings, with_rays
    )
    to_rays = (to_origins, to_directions, to_edges) if with_rays else (None, None, None)
    return *to_rays, None, None, [*[None] * FIXED, *gradients], None, None, None


_trace.register_autograd(_backward, setup_context=_setup_context)


def _empty(
    origins: Tensor, edges: Tensor, tensors: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Memory for colour, opacity and depth of rays, then for the backward pass: seven numbers per sample (position,
    density, colour), its frame, and its layers."""
    rays, make = origins.shape[0], origins.new_empty
    samples = edges.shape[0] * (edges.shape[1] - 1)
    layers = make(whole_tiles(samples), saved_width(tensors))
    return make(rays, 3), make(rays), make(rays), make(7, samples), make(samples, dtype=torch.int32), layers


def _ray_gradients(inputs: Sequence[Tensor], wanted: bool) -> list[Tensor]:
    """Zeros for the gradients of origins, directions and edges; empty tensors where they are not wanted."""
    return [torch.zeros_like(tensor) if wanted else tensor.new_empty(0) for tensor in inputs[:3]]


def _samples(values: Tensor, frames: Tensor, layers: Tensor) -> structures.Samples:
    """Positions [N, 3], densities [N] and colours [N, 3] lie one after the other in ``values`` [7, N]."""
    count, size = len(frames), values.element_size()
    positions, density, rgb = (values.data_ptr() + row * count * size for row in (0, 3, 4))
    return structures.Samples(count, positions, frames.data_ptr(), density, rgb, layers.data_ptr())


def _rays(inputs: Sequence[Tensor], outputs: Sequence[Tensor | None]) -> structures.Rays:
    origins, directions, edges, rays, frame = inputs
    addresses = pointers([rays, frame, origins, directions, edges, *outputs])
    return structures.Rays(len(rays), edges.shape[1] - 1, *addresses)
