"""The fast field as a torch operator: compiled values and gradients (``csrc/triplane.h``).

Per-frame inputs are computed in torch: the gates, the bias of the first layer, and the light of the shading plane. So
torch differentiates with respect to speech, expression and pose, and the operator differentiates everything that is
computed per sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jean.kernels import library, structures
from jean.kernels.arguments import PlaneSpec, Prior
from jean.kernels.ops.common import contiguous, on_gpu, pointers, target_number
from jean.kernels.structures import WEIGHTS

PER_FRAME = ("gates", "bias", "light")
# A field is one list of tensors for the operators: two without gradients (relief, deformation), those per frame, the
# weights, and the planes' tables.
FIXED = 2
SHARED = len(PER_FRAME) + len(WEIGHTS)  # tensors whose gradients the kernels write; those of tables they add to


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
    """Density [N], per cm, and rgb [N, 3] in [0, 1] of the fast field.

    Args:
        positions: [N, 3], head space, cm.
        frame: [N] int, the frame of each position.
        gates: [F, 16 G], factors of the features of the last G planes.
        bias: [F, hidden], of the first layer.
        light: [F, shading cells, 3], added to the colour before its sigmoid.
        planes: at most 16.
        shading: layout of the light's cells; its table is not read.
        weights: in the order of ``jean.kernels.structures.WEIGHTS``.
        prior: the mean head, whose log density is added to the network's.
        bend: [F, cells², 2], cm, deformation to canonical space, added to the first two coordinates; over the box of
            ``shading``, without gradients. None: no deformation.
        target: CPU instruction set; None: the fastest.

    Raises:
        SetupError: the kernels are not built.
    """
    number = 0 if on_gpu(positions) else target_number(positions.dtype, target)
    tensors = field_tensors(positions, gates, bias, light, planes, weights, prior, bend)
    density, rgb, _ = torch.ops.jean.triplane(
        positions, frame.int(), tensors, *field_layout(planes, shading, prior), number
    )
    return density, rgb


def field_tensors(
    positions: Tensor,
    gates: Tensor,
    bias: Tensor,
    light: Tensor,
    planes: Sequence[PlaneSpec],
    weights: Sequence[Tensor],
    prior: Prior,
    bend: Tensor | None,
) -> list[Tensor]:
    """A field's tensors as the operators take them; arguments as of ``triplane_field``."""
    bend = positions.new_empty(0) if bend is None else bend.detach()
    return [prior.relief.detach(), bend, gates, bias, light, *weights, *(plane.table for plane in planes)]


def field_layout(planes: Sequence[PlaneSpec], shading: PlaneSpec, prior: Prior) -> tuple[list[int], list[float]]:
    """Sizes and axes of the planes, and the boxes of planes and mean head, as ``fill_field`` reads them."""
    sizes = [n for p in planes for n in (p.height, p.width, *p.axes)] + [shading.height, shading.width]
    return sizes, [x for p in (*planes, shading) for x in (*p.low, *p.size)] + [*prior.centre, *prior.radii]


def fill_field(
    tensors: Sequence[Tensor], sizes: list[int], box: list[float], to_tables: Sequence[Tensor] | None = None
) -> structures.Field:
    """The C structure of a field.

    Args:
        tensors: contiguous, in the order of ``field_tensors``; they must live as long as the structure.
        sizes, box: of ``field_layout``.
        to_tables: gradients of the tables, which the kernels add to; None: not wanted.
    """
    relief, bend, gates, bias = tensors[:4]
    tables = tensors[FIXED + SHARED :]
    field = structures.Field(planes=len(tables), gated=gates.shape[1] // structures.CHANNELS)
    for name, tensor in zip((*PER_FRAME, *WEIGHTS), tensors[FIXED : FIXED + SHARED], strict=True):
        setattr(field, name, tensor.data_ptr())
    field.frames, field.hidden = bias.shape
    field.colour_width = tensors[FIXED + len(PER_FRAME) + WEIGHTS.index("colour")].shape[0]
    field.light_height, field.light_width = sizes[-2:]
    gradients = pointers([None] * len(tables) if to_tables is None else to_tables)
    for index, (table, gradient) in enumerate(zip(tables, gradients, strict=True)):
        plane = field.plane[index]
        plane.table, plane.gradient = table.data_ptr(), gradient
        plane.height, plane.width, plane.first_axis, plane.second_axis = sizes[4 * index : 4 * index + 4]
        plane.low[:], plane.size[:] = box[4 * index : 4 * index + 2], box[4 * index + 2 : 4 * index + 4]
    field.light_low[:], field.light_size[:] = box[-10:-8], box[-8:-6]
    field.prior_centre[:], field.prior_radii[:] = box[-6:-3], box[-3:]
    if len(relief):
        field.relief, field.relief_cells = relief.data_ptr(), round(len(relief) ** 0.5)
    if len(bend):
        field.bend, field.bend_cells = bend.data_ptr(), round(bend.shape[1] ** 0.5)
    return field


def empty_gradients(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Memory for the gradients of a field's tensors but the first two: not set for those the kernels write, zeros for
    the tables, which they add to."""
    layout = torch.contiguous_format
    shared, tables = tensors[FIXED : FIXED + SHARED], tensors[FIXED + SHARED :]
    written = [torch.empty_like(t, memory_format=layout) for t in shared]
    return [*written, *(torch.zeros_like(t, memory_format=layout) for t in tables)]


def fill_gradients(gradients: Sequence[Tensor], to_positions: Tensor | None) -> structures.FieldGradients:
    """The C structure of the gradients of ``empty_gradients``, and of positions where they are wanted."""
    names = (*PER_FRAME, *WEIGHTS)
    addresses = dict(zip(names, pointers(gradients[:SHARED]), strict=True))
    return structures.FieldGradients(**addresses, positions=None if to_positions is None else to_positions.data_ptr())


def saved_width(tensors: Sequence[Tensor]) -> int:
    """Numbers kept per sample for the backward pass: features, two hidden layers, the colour's layer, and 16 whose last
    is the log density."""
    weights, tables = tensors[FIXED + len(PER_FRAME) : FIXED + SHARED], tensors[FIXED + SHARED :]
    hidden, colour_width = weights[0].shape[0], weights[WEIGHTS.index("colour")].shape[0]
    return (len(tables) + 1) * structures.CHANNELS + 2 * hidden + colour_width


def whole_tiles(samples: int) -> int:
    """Samples rounded up to whole tiles."""
    return (samples + structures.TILE - 1) // structures.TILE * structures.TILE


def _empty_saved(positions: Tensor, tensors: Sequence[Tensor]) -> Tensor:
    """Memory for ``saved_width`` numbers per sample; none on a GPU, whose kernels compute them again."""
    rows = 0 if on_gpu(positions) else whole_tiles(positions.shape[0])
    return positions.new_empty(rows, saved_width(tensors))


@torch.library.custom_op("jean::triplane", mutates_args=())
def _triplane(
    positions: Tensor, frame: Tensor, tensors: list[Tensor], sizes: list[int], box: list[float], target: int
) -> tuple[Tensor, Tensor, Tensor]:
    count = len(positions)
    positions, frame, *tensors = contiguous([positions, frame, *tensors])
    field = fill_field(tensors, sizes, box)
    density, rgb, saved = positions.new_empty(count), positions.new_empty(count, 3), _empty_saved(positions, tensors)
    samples = structures.Samples(count, *pointers([positions, frame, density, rgb, saved]))
    if on_gpu(positions):
        from jean.kernels.cuda.triplane import launch_triplane  # the CPU needs none of it

        launch_triplane(field, samples, positions.device)
    else:
        library.call("jean_field_forward", field, samples, target, torch.get_num_threads())
    return density, rgb, saved


@_triplane.register_fake
def _(positions, frame, tensors, sizes, box, target):
    count = positions.shape[0]
    return positions.new_empty(count), positions.new_empty(count, 3), _empty_saved(positions, tensors)


@torch.library.custom_op("jean::triplane_backward", mutates_args=())
def _triplane_backward(
    to_outputs: list[Tensor],
    outputs: list[Tensor],
    positions: Tensor,
    frame: Tensor,
    tensors: list[Tensor],
    sizes: list[int],
    box: list[float],
    target: int,
    with_positions: bool,
) -> list[Tensor]:
    positions, frame, *tensors = contiguous([positions, frame, *tensors])
    to_density, to_rgb, *outputs = contiguous([*to_outputs, *outputs])
    gradients = empty_gradients(tensors)
    to_positions = torch.empty_like(positions) if with_positions else positions.new_empty(0)
    wanted = to_positions if with_positions else None
    field = fill_field(tensors, sizes, box, gradients[SHARED:])
    samples = structures.Samples(len(positions), *pointers([positions, frame, *outputs]))
    if on_gpu(positions):
        from jean.kernels.cuda.triplane import launch_triplane_backward  # the CPU needs none of it

        by_name = dict(zip((*PER_FRAME, *WEIGHTS), gradients, strict=False))
        launch_triplane_backward(field, samples, to_density, to_rgb, by_name, wanted)
    else:
        out = fill_gradients(gradients, wanted)
        threads = torch.get_num_threads()
        library.call("jean_field_backward", field, samples, to_density, to_rgb, out, target, threads)
    return [to_positions, *gradients]


@_triplane_backward.register_fake
def _(to_outputs, outputs, positions, frame, tensors, sizes, box, target, with_positions):
    to_positions = torch.empty_like(positions) if with_positions else positions.new_empty(0)
    return [to_positions, *(torch.empty_like(tensor) for tensor in tensors[FIXED:])]


def _setup_context(ctx, inputs, output) -> None:
    positions, frame, tensors, *ctx.settings = inputs
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*output, positions, frame, *tensors)


def _backward(ctx, to_density, to_rgb, _to_saved):
    density, rgb, saved, positions, frame, *tensors = ctx.saved_tensors
    to_density = torch.zeros_like(density) if to_density is None else to_density
    to_rgb = torch.zeros_like(rgb) if to_rgb is None else to_rgb
    with_positions = bool(ctx.needs_input_grad[0])
    to_positions, *gradients = torch.ops.jean.triplane_backward(
        [to_density, to_rgb], [density, rgb, saved], positions, frame, tensors, *ctx.settings, with_positions
    )
    return to_positions if with_positions else None, None, [*[None] * FIXED, *gradients], None, None, None


_triplane.register_autograd(_backward, setup_context=_setup_context)
