"""The torso layer as one torch operator: compiled values and gradients (``csrc/torso_training.h``).

The pose is constant over a frame, so its share of both layers comes as biases, one row a frame, and torch
differentiates what made them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jean.kernels import library, structures
from jean.kernels.structures import TORSO, TorsoGradients, TorsoLayer, TorsoPixels


def torso_layer(
    coordinates: Tensor,
    frame: Tensor,
    tables: Sequence[Tensor],
    sizes: Sequence[tuple[int, int]],
    weights: Sequence[Tensor],
    reach: float,
    target: str | None = None,
) -> tuple[Tensor, Tensor]:
    """rgb [R, 3] and opacity [R] of image positions.

    Args:
        coordinates: [R, 2], 0 to 1, without gradients.
        frame: [R] int, the frame of each.
        tables: two planes of features, [height * width, 16] each; sizes: their heights and widths.
        weights: as ``native_training.TORSO`` names them; the first is [2, bend_hidden], input by output, and both
            hidden layers' widths are multiples of 16 and at most 128.
        reach: largest shift of a position.
        target: instruction set; None for the fastest.

    Raises:
        SetupError: the kernels are not built. ValueError: other widths.
    """
    named = dict(zip(TORSO, weights, strict=True))
    widths = named["bend_first"].shape[1], len(named["shade"])
    if any(t.shape[1] != structures.CHANNELS for t in tables) or any(
        w % 16 or w > structures.MAX_HIDDEN for w in widths
    ):
        raise ValueError(f"the kernels take planes of {structures.CHANNELS} channels and layers of 16, 32, … to 128")
    number = library.DOUBLE if coordinates.dtype == torch.float64 else library.TARGETS[library.target(target)]
    numbers = [n for size in sizes for n in size]
    return torch.ops.jean.torso(coordinates.detach(), frame.int(), list(tables), list(weights), numbers, reach, number)


@torch.library.custom_op("jean::torso", mutates_args=())
def _torso(
    coordinates: Tensor,
    frame: Tensor,
    tables: list[Tensor],
    weights: list[Tensor],
    sizes: list[int],
    reach: float,
    target: int,
) -> tuple[Tensor, Tensor]:
    coordinates, frame, *rest = _contiguous([coordinates, frame, *tables, *weights])
    count = len(coordinates)
    rgb, opacity = coordinates.new_empty(count, 3), coordinates.new_empty(count)
    layer = _layer(rest[:2], [None, None], rest[2:], sizes, reach)
    pixels = TorsoPixels(count, *(t.data_ptr() for t in (coordinates, frame, rgb, opacity)))
    library.call("jean_torso_forward", layer, pixels, target, torch.get_num_threads())
    return rgb, opacity


@_torso.register_fake
def _(coordinates, frame, tables, weights, sizes, reach, target):
    count = coordinates.shape[0]
    return coordinates.new_empty(count, 3), coordinates.new_empty(count)


@torch.library.custom_op("jean::torso_backward", mutates_args=())
def _torso_backward(
    to_rgb: Tensor,
    to_opacity: Tensor,
    coordinates: Tensor,
    frame: Tensor,
    tables: list[Tensor],
    weights: list[Tensor],
    sizes: list[int],
    reach: float,
    target: int,
) -> list[Tensor]:
    to_rgb, to_opacity, coordinates, frame, *rest = _contiguous(
        [to_rgb, to_opacity, coordinates, frame, *tables, *weights]
    )
    to_tables = [torch.zeros_like(table) for table in rest[:2]]
    to_weights = [torch.empty_like(weight) for weight in rest[2:]]
    layer = _layer(rest[:2], to_tables, rest[2:], sizes, reach)
    pixels = TorsoPixels(len(coordinates), coordinates.data_ptr(), frame.data_ptr(), None, None)
    out = TorsoGradients(*(t.data_ptr() for t in to_weights))
    library.call("jean_torso_backward", layer, pixels, to_rgb, to_opacity, out, target, torch.get_num_threads())
    return [*to_tables, *to_weights]


@_torso_backward.register_fake
def _(to_rgb, to_opacity, coordinates, frame, tables, weights, sizes, reach, target):
    return [torch.empty_like(t, memory_format=torch.contiguous_format) for t in (*tables, *weights)]


def _setup_context(ctx, inputs, output) -> None:
    coordinates, frame, tables, weights, *ctx.settings = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(coordinates, frame, *tables, *weights)


def _backward(ctx, to_rgb, to_opacity):
    coordinates, frame, *rest = ctx.saved_tensors
    to_rgb = coordinates.new_zeros(len(coordinates), 3) if to_rgb is None else to_rgb
    to_opacity = coordinates.new_zeros(len(coordinates)) if to_opacity is None else to_opacity
    made = torch.ops.jean.torso_backward(to_rgb, to_opacity, coordinates, frame, rest[:2], rest[2:], *ctx.settings)
    return None, None, made[:2], made[2:], None, None, None


_torso.register_autograd(_backward, setup_context=_setup_context)


def _contiguous(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().contiguous() for tensor in tensors]


def _layer(
    tables: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    weights: Sequence[Tensor],
    sizes: Sequence[int],
    reach: float,
) -> TorsoLayer:
    """The C structure, of contiguous tensors."""
    layer = TorsoLayer(reach=reach)
    for index, (table, gradient) in enumerate(zip(tables, gradients, strict=True)):
        plane = layer.plane[index]
        plane.table, plane.gradient = table.data_ptr(), None if gradient is None else gradient.data_ptr()
        plane.height, plane.width, plane.first_axis, plane.second_axis = *sizes[2 * index : 2 * index + 2], 0, 1
        plane.low[:], plane.size[:] = (0.0, 0.0), (1.0, 1.0)
    named = dict(zip(TORSO, weights, strict=True))
    layer.bend_hidden, layer.hidden, layer.frames = (
        named["bend_first"].shape[1],
        len(named["shade"]),
        len(named["bias"]),
    )
    for name, tensor in named.items():
        setattr(layer, name, tensor.data_ptr())
    return layer
