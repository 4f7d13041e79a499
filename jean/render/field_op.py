"""The fast field as one torch operator: compiled values and gradients (``csrc/triplane.h``).

What is constant over a frame comes in already computed: the gates, the first layer's bias, the light of
the shading plane. So torch differentiates speech, expression and pose, and the operator all that is
done for every sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jean.render import native

WEIGHTS = ("first", "second", "second_bias", "density", "density_bias", "colour", "colour_bias", "rgb", "rgb_bias")
_PER_FRAME = ("gates", "bias", "light")


@dataclass(frozen=True)
class PlaneSpec:
    """A plane of features over two axes of space.

    Attributes:
        table: [height * width, 16].
        height: cells along the second axis; width: along the first.
        axes: numbers of the first and the second axis.
        low: coordinates of its first cell on both axes, cm; size: its extent.
    """

    table: Tensor
    height: int
    width: int
    axes: tuple[int, int]
    low: tuple[float, float]
    size: tuple[float, float]


def supported(planes: Sequence[PlaneSpec], weights: Sequence[Tensor]) -> bool:
    """Whether the kernels take a field of these shapes."""
    hidden, half = weights[0].shape[0], weights[5].shape[0]
    return (
        len(planes) <= native.MAX_PLANES
        and all(plane.table.shape[1] == native.CHANNELS for plane in planes)
        and max(hidden, half) <= native.MAX_HIDDEN
        and hidden % 16 == 0
        and half % 16 == 0
    )


def triplane_field(
    positions: Tensor,
    prior: Tensor,
    frame: Tensor,
    gates: Tensor,
    bias: Tensor,
    light: Tensor,
    planes: Sequence[PlaneSpec],
    shading: PlaneSpec,
    weights: Sequence[Tensor],
    target: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Density [N] and rgb [N, 3] of the fast field.

    Args:
        positions: [N, 3], cm.
        prior: [N] log density to be added to the network's.
        frame: [N] int, the frame of each position.
        gates: [F, 16 G], factors of the features of the last G planes.
        bias: [F, hidden], of the first layer.
        light: [F, shading cells, 3], added to the colour before its sigmoid.
        planes: at most 16; shading: where the light's cells lie (its table is not read).
        weights: as in ``WEIGHTS``.
        target: instruction set; None for the fastest.

    Raises:
        SetupError: the kernels are not built.
    """
    number = native.DOUBLE if positions.dtype == torch.float64 else native.TARGETS[native.target(target)]
    layout = [n for p in planes for n in (p.height, p.width, *p.axes)] + [shading.height, shading.width]
    box = [x for p in (*planes, shading) for x in (*p.low, *p.size)]
    density, rgb, _ = torch.ops.jean.triplane(
        positions, prior, frame.int(), gates, bias, light, [p.table for p in planes], list(weights), layout, box, number
    )
    return density, rgb


@torch.library.custom_op("jean::triplane", mutates_args=())
def _triplane(
    positions: Tensor,
    prior: Tensor,
    frame: Tensor,
    gates: Tensor,
    bias: Tensor,
    light: Tensor,
    tables: list[Tensor],
    weights: list[Tensor],
    layout: list[int],
    box: list[float],
    target: int,
) -> tuple[Tensor, Tensor, Tensor]:
    count = len(positions)
    tensors = _contiguous([positions, prior, gates, bias, light, *weights, *tables])
    field = _field(tensors, [None] * len(tables), layout, box)
    tiles = -(-count // native.TILE)
    density, rgb = positions.new_empty(count), positions.new_empty(count, 3)
    saved = positions.new_empty(tiles * native.TILE, _saved_width(tables, weights))
    frame = frame.contiguous()
    samples = _samples(tensors, frame, density, rgb, saved)
    native.call("jean_field_forward", field, samples, target, torch.get_num_threads())
    return density, rgb, saved


@_triplane.register_fake
def _(positions, prior, frame, gates, bias, light, tables, weights, layout, box, target):
    count = positions.shape[0]
    rows = (count + native.TILE - 1) // native.TILE * native.TILE
    saved = positions.new_empty(rows, _saved_width(tables, weights))
    return positions.new_empty(count), positions.new_empty(count, 3), saved


@torch.library.custom_op("jean::triplane_backward", mutates_args=())
def _triplane_backward(
    to_density: Tensor,
    to_rgb: Tensor,
    density: Tensor,
    rgb: Tensor,
    saved: Tensor,
    positions: Tensor,
    prior: Tensor,
    frame: Tensor,
    gates: Tensor,
    bias: Tensor,
    light: Tensor,
    tables: list[Tensor],
    weights: list[Tensor],
    layout: list[int],
    box: list[float],
    target: int,
    move: bool,
) -> list[Tensor]:
    tensors = _contiguous([positions, prior, gates, bias, light, *weights, *tables])
    frame, to_density, to_rgb = _contiguous([frame, to_density, to_rgb])
    to_tables = [torch.zeros_like(table, memory_format=torch.contiguous_format) for table in tables]
    to_shared = [torch.empty_like(t, memory_format=torch.contiguous_format) for t in (gates, bias, light, *weights)]
    to_prior = torch.empty_like(prior, memory_format=torch.contiguous_format)
    to_positions = (
        torch.empty_like(positions, memory_format=torch.contiguous_format) if move else positions.new_empty(0)
    )
    field = _field(tensors, to_tables, layout, box)
    samples = _samples(tensors, frame, *_contiguous([density, rgb, saved]))
    out = native.FieldGradients()
    for name, tensor in zip((*_PER_FRAME, *WEIGHTS), to_shared, strict=True):
        setattr(out, name, tensor.data_ptr())
    out.prior = to_prior.data_ptr()
    out.positions = to_positions.data_ptr() if move else None
    native.call(
        "jean_field_backward",
        field,
        samples,
        to_density,
        to_rgb,
        out,
        target,
        torch.get_num_threads(),
    )
    return [to_positions, to_prior, *to_shared, *to_tables]


@_triplane_backward.register_fake
def _(
    to_density, to_rgb, density, rgb, saved, positions, prior, frame, gates, bias, light, tables, weights, layout, box,
    target, move,
):  # fmt: skip
    first = torch.empty_like(positions) if move else positions.new_empty(0)
    return [first, *(torch.empty_like(t) for t in (prior, gates, bias, light, *weights, *tables))]


def _setup_context(ctx, inputs, output) -> None:
    positions, prior, frame, gates, bias, light, tables, weights, layout, box, target = inputs
    density, rgb, saved = output
    ctx.mark_non_differentiable(saved)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(density, rgb, saved, positions, prior, frame, gates, bias, light, *tables, *weights)
    ctx.settings = (len(tables), layout, box, target)


def _backward(ctx, to_density, to_rgb, _to_saved):
    count, layout, box, target = ctx.settings
    density, rgb, saved, positions, prior, frame, gates, bias, light, *rest = ctx.saved_tensors
    tables, weights = rest[:count], rest[count:]
    to_density = torch.zeros_like(density) if to_density is None else to_density
    to_rgb = torch.zeros_like(rgb) if to_rgb is None else to_rgb
    move = bool(ctx.needs_input_grad[0])
    made = torch.ops.jean.triplane_backward(
        to_density, to_rgb, density, rgb, saved, positions, prior, frame, gates, bias, light, tables, weights, layout,
        box, target, move,
    )  # fmt: skip
    to_positions, to_prior, to_gates, to_bias, to_light, *others = made
    to_weights, to_tables = others[: len(weights)], others[len(weights) :]
    to_positions = to_positions if move else None
    return to_positions, to_prior, None, to_gates, to_bias, to_light, to_tables, to_weights, None, None, None


_triplane.register_autograd(_backward, setup_context=_setup_context)


def _saved_width(tables: Sequence[Tensor], weights: Sequence[Tensor]) -> int:
    """Values kept of a sample: features, two hidden layers, the colour's layer, and the log density, which is last."""
    return (len(tables) + 1) * native.CHANNELS + 2 * weights[0].shape[0] + weights[5].shape[0]


def _contiguous(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().contiguous() for tensor in tensors]


def _pointers(*tensors: Tensor) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]


def _samples(tensors: Sequence[Tensor], frame: Tensor, density: Tensor, rgb: Tensor, saved: Tensor) -> native.Samples:
    positions, prior = tensors[:2]
    return native.Samples(len(positions), *_pointers(positions, prior, frame, density, rgb, saved))


def _field(
    tensors: Sequence[Tensor], gradients: Sequence[Tensor | None], layout: list[int], box: list[float]
) -> native.Field:
    """The C structure; ``tensors`` are contiguous: positions, prior, gates, bias, light, weights, tables."""
    gates, bias, light = tensors[2:5]
    weights, tables = tensors[5 : 5 + len(WEIGHTS)], tensors[5 + len(WEIGHTS) :]
    field = native.Field()
    field.planes, field.gated = len(tables), gates.shape[1] // native.CHANNELS
    field.hidden, field.half, field.frames = bias.shape[1], weights[5].shape[0], len(bias)
    field.light_height, field.light_width = layout[-2:]
    for index, (table, gradient) in enumerate(zip(tables, gradients, strict=True)):
        plane = field.plane[index]
        plane.table = table.data_ptr()
        plane.gradient = None if gradient is None else gradient.data_ptr()
        plane.height, plane.width, plane.first_axis, plane.second_axis = layout[4 * index : 4 * index + 4]
        plane.low[:], plane.size[:] = box[4 * index : 4 * index + 2], box[4 * index + 2 : 4 * index + 4]
    field.light_low[:], field.light_size[:] = box[-4:-2], box[-2:]
    for name, tensor in zip((*_PER_FRAME, *WEIGHTS), (gates, bias, light, *weights), strict=True):
        setattr(field, name, tensor.data_ptr())
    return field
