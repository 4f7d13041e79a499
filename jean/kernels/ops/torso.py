"""The torso layer as a torch operator: compiled values and gradients (``csrc/torso_training.h``).

The head pose is constant over a frame, so its part of both layers comes as biases, one row per frame. Torch
differentiates these biases with respect to the pose.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jean.kernels import library, structures
from jean.kernels.ops.common import contiguous, pointers, target_number
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
    """rgb [R, 3] and opacity [R] of the torso at image positions.

    Args:
        coordinates: [R, 2] in [0, 1], without gradients.
        frame: [R] int, the frame of each position.
        tables: two planes of features, [height * width, 16] each.
        sizes: height and width of each plane.
        weights: in the order of ``jean.kernels.structures.TORSO``. The first is [2, bend_hidden], input by output. The
            widths of both hidden layers are multiples of 16, at most 128.
        reach: largest shift of a position, as a fraction of the image's side.
        target: CPU instruction set; None: the fastest.

    Raises:
        SetupError: the kernels are not built.
        ValueError: other numbers of channels or widths.
    """
    named = dict(zip(TORSO, weights, strict=True))
    widths = named["bend_first"].shape[1], len(named["shade"])
    if any(t.shape[1] != structures.CHANNELS for t in tables) or any(
        w % 16 or w > structures.MAX_HIDDEN for w in widths
    ):
        raise ValueError(f"the kernels take planes of {structures.CHANNELS} channels and layers of 16, 32, … to 128")
    number = target_number(coordinates.dtype, target)
    layout = [n for size in sizes for n in size]
    return torch.ops.jean.torso(coordinates.detach(), frame.int(), list(tables), list(weights), layout, reach, number)


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
    coordinates, frame, *tensors = contiguous([coordinates, frame, *tables, *weights])
    count = len(coordinates)
    rgb, opacity = coordinates.new_empty(count, 3), coordinates.new_empty(count)
    layer = _layer(tensors[:2], [None, None], tensors[2:], sizes, reach)
    pixels = TorsoPixels(count, *pointers([coordinates, frame, rgb, opacity]))
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
    to_rgb, to_opacity, coordinates, frame, *tensors = contiguous(
        [to_rgb, to_opacity, coordinates, frame, *tables, *weights]
    )
    to_tables = [torch.zeros_like(table) for table in tensors[:2]]
    to_weights = [torch.empty_like(weight) for weight in tensors[2:]]
    layer = _layer(tensors[:2], to_tables, tensors[2:], sizes, reach)
    pixels = TorsoPixels(len(coordinates), coordinates.data_ptr(), frame.data_ptr(), None, None)
    out = TorsoGradients(*pointers(to_weights))
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
    coordinates, frame, *tensors = ctx.saved_tensors
    to_rgb = coordinates.new_zeros(len(coordinates), 3) if to_rgb is None else to_rgb
    to_opacity = coordinates.new_zeros(len(coordinates)) if to_opacity is None else to_opacity
    gradients = torch.ops.jean.torso_backward(
        to_rgb, to_opacity, coordinates, frame, tensors[:2], tensors[2:], *ctx.settings
    )
    return None, None, gradients[:2], gradients[2:], None, None, None


_torso.register_autograd(_backward, setup_context=_setup_context)


def _layer(
    tables: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    weights: Sequence[Tensor],
    sizes: Sequence[int],
    reach: float,
) -> TorsoLayer:
    """The C structure; tensors are contiguous and must live as long as it."""
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
