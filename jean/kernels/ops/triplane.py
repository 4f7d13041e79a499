"""The fast field as one torch operator: compiled values and gradients (``csrc/triplane.h``).

What is constant over a frame comes in already computed: the gates, the first layer's bias, the light of
the shading plane. So torch differentiates speech, expression and pose, and the operator all that is
done for every sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jean.kernels import library, structures
from jean.kernels.arguments import PlaneSpec, Prior
from jean.kernels.structures import WEIGHTS

_PER_FRAME = ("gates", "bias", "light")


def triplane_field(
    positions: Tensor,
    frame: Tensor,
    gates: Tensor,
    bias: Tensor,
    light: Tensor,
    planes: Sequence[PlaneSpec],
    shading: PlaneSpec,
    weights: Sequence[Tensor],
    prior: Prior,
    bend: Tensor | None = None,
    target: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Density [N] and rgb [N, 3] of the fast field.

    Args:
        positions: [N, 3], cm.
        frame: [N] int, the frame of each position.
        gates: [F, 16 G], factors of the features of the last G planes.
        bias: [F, hidden], of the first layer.
        light: [F, shading cells, 3], added to the colour before its sigmoid.
        planes: at most 16; shading: where the light's cells lie (its table is not read).
        weights: as in ``WEIGHTS``.
        prior: log density to be added to the network's.
        bend: [F, cells², 2], cm, to be added to the first two coordinates; over the box of ``shading``, and
            without gradients.
        target: instruction set; None for the fastest.

    Raises:
        SetupError: the kernels are not built.
    """
    number = 0 if on_card(positions) else _number(positions.dtype, target)
    layout, box = field_numbers(planes, shading, prior)
    bend = positions.new_empty(0) if bend is None else bend.detach()
    still = [prior.relief.detach(), bend]
    tables = [p.table for p in planes]
    density, rgb, _ = torch.ops.jean.triplane(
        positions, frame.int(), gates, bias, light, still, tables, list(weights), layout, box, number
    )
    return density, rgb


def on_card(tensor: Tensor) -> bool:
    """Whether a card's kernels compute what is asked of ``tensor``; tests let them run on a processor."""
    return tensor.is_cuda


def _number(dtype: torch.dtype, target: str | None) -> int:
    """The C interface's number of the instruction set to use."""
    return library.DOUBLE if dtype == torch.float64 else library.TARGETS[library.target(target)]


def field_numbers(planes: Sequence[PlaneSpec], shading: PlaneSpec, prior: Prior) -> tuple[list[int], list[float]]:
    """Sizes and axes of the planes, and where they and the mean head lie, as ``_field`` reads them."""
    layout = [n for p in planes for n in (p.height, p.width, *p.axes)] + [shading.height, shading.width]
    return layout, [x for p in (*planes, shading) for x in (*p.low, *p.size)] + [*prior.centre, *prior.radii]


@torch.library.custom_op("jean::triplane", mutates_args=())
def _triplane(
    positions: Tensor,
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
) -> tuple[Tensor, Tensor, Tensor]:
    count = len(positions)
    tensors = _contiguous([positions, *still, gates, bias, light, *weights, *tables])
    field = _field(tensors, [None] * len(tables), layout, box)
    density, rgb = positions.new_empty(count), positions.new_empty(count, 3)
    saved = _saved(positions, tables, weights)
    frame = frame.contiguous()
    samples = _samples(tensors, frame, density, rgb, saved)
    if on_card(positions):
        from jean.kernels.cuda.triplane import launch_triplane  # a processor needs none of it

        launch_triplane(field, samples, positions.device)
        return density, rgb, saved
    library.call("jean_field_forward", field, samples, target, torch.get_num_threads())
    return density, rgb, saved


@_triplane.register_fake
def _(positions, frame, gates, bias, light, still, tables, weights, layout, box, target):
    count = positions.shape[0]
    return positions.new_empty(count), positions.new_empty(count, 3), _saved(positions, tables, weights)


def field_gradients(tables: Sequence[Tensor], shared: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Room for the gradients of planes, which the kernels add to, and of ``shared``, which they write."""
    layout = torch.contiguous_format
    return (
        [torch.zeros_like(t, memory_format=layout) for t in tables],
        [torch.empty_like(t, memory_format=layout) for t in shared],
    )


def gradients_call(shared: Sequence[Tensor], positions: Tensor | None) -> structures.FieldGradients:
    """Where the kernels write gradients: of gates, bias, light and weights, and of positions where they are wanted."""
    out = structures.FieldGradients()
    for name, tensor in zip((*_PER_FRAME, *WEIGHTS), shared, strict=True):
        setattr(out, name, tensor.data_ptr())
    out.positions = None if positions is None else positions.data_ptr()
    return out


@torch.library.custom_op("jean::triplane_backward", mutates_args=())
def _triplane_backward(
    to_density: Tensor,
    to_rgb: Tensor,
    density: Tensor,
    rgb: Tensor,
    saved: Tensor,
    positions: Tensor,
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
    tensors = _contiguous([positions, *still, gates, bias, light, *weights, *tables])
    frame, to_density, to_rgb = _contiguous([frame, to_density, to_rgb])
    to_tables, to_shared = field_gradients(tables, (gates, bias, light, *weights))
    to_positions = (
        torch.empty_like(positions, memory_format=torch.contiguous_format) if move else positions.new_empty(0)
    )
    field = _field(tensors, to_tables, layout, box)
    samples = _samples(tensors, frame, *_contiguous([density, rgb, saved]))
    if on_card(positions):
        from jean.kernels.cuda.triplane import launch_triplane_backward  # a processor needs none of it

        made = dict(zip((*_PER_FRAME, *WEIGHTS), to_shared, strict=True))
        launch_triplane_backward(field, samples, to_density, to_rgb, made, to_positions if move else None)
        return [to_positions, *to_shared, *to_tables]
    out = gradients_call(to_shared, to_positions if move else None)
    library.call(
        "jean_field_backward",
        field,
        samples,
        to_density,
        to_rgb,
        out,
        target,
        torch.get_num_threads(),
    )
    return [to_positions, *to_shared, *to_tables]


@_triplane_backward.register_fake
def _(
    to_density, to_rgb, density, rgb, saved, positions, frame, gates, bias, light, still, tables, weights, layout, box,
    target, move,
):  # fmt: skip
    first = torch.empty_like(positions) if move else positions.new_empty(0)
    return [first, *(torch.empty_like(t) for t in (gates, bias, light, *weights, *tables))]


def _setup_context(ctx, inputs, output) -> None:
    positions, frame, gates, bias, light, still, tables, weights, layout, box, target = inputs
    density, rgb, saved = output
    ctx.mark_non_differentiable(saved)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(density, rgb, saved, positions, frame, gates, bias, light, *still, *tables, *weights)
    ctx.settings = (len(tables), layout, box, target)


def _backward(ctx, to_density, to_rgb, _to_saved):
    count, layout, box, target = ctx.settings
    density, rgb, saved, positions, frame, gates, bias, light, relief, bend, *rest = ctx.saved_tensors
    tables, weights = rest[:count], rest[count:]
    to_density = torch.zeros_like(density) if to_density is None else to_density
    to_rgb = torch.zeros_like(rgb) if to_rgb is None else to_rgb
    move = bool(ctx.needs_input_grad[0])
    made = torch.ops.jean.triplane_backward(
        to_density, to_rgb, density, rgb, saved, positions, frame, gates, bias, light, [relief, bend], tables, weights,
        layout, box, target, move,
    )  # fmt: skip
    to_positions, to_gates, to_bias, to_light, *others = made
    to_weights, to_tables = others[: len(weights)], others[len(weights) :]
    to_positions = to_positions if move else None
    still = [None, None]
    return to_positions, None, to_gates, to_bias, to_light, still, to_tables, to_weights, None, None, None


_triplane.register_autograd(_backward, setup_context=_setup_context)


def _saved(positions: Tensor, tables: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Room for what is kept of each sample of whole tiles: features, two hidden layers, the colour's layer, and the log
    density, which is last. A card keeps nothing."""
    rows = 0 if on_card(positions) else (positions.shape[0] + structures.TILE - 1) // structures.TILE * structures.TILE
    width = (len(tables) + 1) * structures.CHANNELS + 2 * weights[0].shape[0] + weights[5].shape[0]
    return positions.new_empty(rows, width)


def _contiguous(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().contiguous() for tensor in tensors]


def _pointers(*tensors: Tensor) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]


def _samples(
    tensors: Sequence[Tensor], frame: Tensor, density: Tensor, rgb: Tensor, saved: Tensor
) -> structures.Samples:
    positions = tensors[0]
    return structures.Samples(len(positions), *_pointers(positions, frame, density, rgb, saved))


def _field(
    tensors: Sequence[Tensor], gradients: Sequence[Tensor | None], layout: list[int], box: list[float]
) -> structures.Field:
    """The C structure; ``tensors`` are contiguous: positions, relief, bend, gates, bias, light, weights, tables."""
    relief, bend, gates, bias, light = tensors[1:6]
    weights, tables = tensors[6 : 6 + len(WEIGHTS)], tensors[6 + len(WEIGHTS) :]
    field = structures.Field()
    field.planes, field.gated = len(tables), gates.shape[1] // structures.CHANNELS
    field.hidden, field.half, field.frames = bias.shape[1], weights[5].shape[0], len(bias)
    field.light_height, field.light_width = layout[-2:]
    for index, (table, gradient) in enumerate(zip(tables, gradients, strict=True)):
        plane = field.plane[index]
        plane.table = table.data_ptr()
        plane.gradient = None if gradient is None else gradient.data_ptr()
        plane.height, plane.width, plane.first_axis, plane.second_axis = layout[4 * index : 4 * index + 4]
        plane.low[:], plane.size[:] = box[4 * index : 4 * index + 2], box[4 * index + 2 : 4 * index + 4]
    field.light_low[:], field.light_size[:] = box[-10:-8], box[-8:-6]
    field.prior_centre[:], field.prior_radii[:] = box[-6:-3], box[-3:]
    if len(relief):
        field.relief, field.relief_cells = relief.data_ptr(), round(len(relief) ** 0.5)
    if len(bend):
        field.bend, field.bend_cells = bend.data_ptr(), round(bend.shape[1] ** 0.5)
    for name, tensor in zip((*_PER_FRAME, *WEIGHTS), (gates, bias, light, *weights), strict=True):
        setattr(field, name, tensor.data_ptr())
    return field
