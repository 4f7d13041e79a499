"""The paper's field as one torch operator: compiled values and gradients (``csrc/mlp.h``).

What is constant over a frame comes folded into the biases of the layers that read it, so torch differentiates
condition and viewing direction, and the operator all that is done for every sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jean.kernels import library, structures

ENDS = ("density", "density_bias", "rgb", "rgb_bias")
ENCODED = 63  # 3 coordinates, sine and cosine of 10 octaves of each


@dataclass(frozen=True)
class MlpSpec:
    """F_Θ with its frames' constants folded in.

    Attributes:
        weights: of every layer that has a ReLU, [outputs, inputs]: the trunk, then the colour's branch. The first
            reads an encoding [63], the layer ``join`` an encoding and the layer before it.
        biases: [outputs], or [F, outputs] where frames differ.
        ends: as in ``ENDS``: density [1, width] of the trunk's last layer, rgb [3, half] of the branch's last.
        trunk: how many layers the trunk has; join: which of them, from 1.
        middle, reach: of the box, scene units; positions are scaled by them to [-1, 1].
        frames: F.
    """

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    ends: Sequence[Tensor]
    trunk: int
    join: int
    middle: tuple[float, float, float]
    reach: tuple[float, float, float]
    frames: int


def mlp_field(positions: Tensor, frame: Tensor, spec: MlpSpec) -> tuple[Tensor, Tensor]:
    """Density [N] and rgb [N, 3] of the paper's field.

    Args:
        positions: [N, 3], scene units.
        frame: [N] int, the frame of each position.
        spec: the field.

    Raises:
        SetupError: the kernels are not built.
        ValueError: more layers than they take, or widths that are no multiples of their columns.
    """
    _require(spec, positions.dtype)
    layout, box = [spec.trunk, spec.join, spec.frames], [*spec.middle, *spec.reach]
    # under autocast what torch folded is of another type
    weights, biases, ends = ([t.to(positions.dtype) for t in part] for part in (spec.weights, spec.biases, spec.ends))
    number = card_format(positions) if on_card(positions) else number_of(positions.dtype)
    return torch.ops.jean.mlp(positions, frame.int(), weights, biases, ends, layout, box, number)


@torch.no_grad()
def mlp_values(
    positions: Tensor, frame: Tensor, spec: MlpSpec, colour: bool = True, precision: str = "fp32"
) -> tuple[Tensor, Tensor | None]:
    """The same for pictures, without gradients, and only what a picture shows.

    Args:
        positions, frame, spec: as ``mlp_field``'s.
        colour: whether colours are wanted at all; where there is no density around, they are zero.
        precision: "fp32", or "bf16": factors of products are rounded to 8 bits, sums and heads are not.

    Returns:
        density [N], and rgb [N, 3] or None.

    Raises:
        UsageError: bf16 on a processor without.
    """
    made = MlpCall(positions, frame, spec, colour)
    if on_card(positions):
        from jean.kernels.cuda.mlp import launch_mlp  # a processor needs none of it

        kind = "half" if precision == "bf16" else "single"
        launch_mlp(made.field, made.samples, positions.device, kind, thrifty=True)
        return made.density, made.rgb
    number = number_of(positions.dtype, precision)
    library.call("jean_mlp_forward", made.field, made.samples, 1, number, torch.get_num_threads())
    return made.density, made.rgb


class MlpCall:
    """The C structures of ``mlp_values``, whose arguments these are, and the tensors that they point into."""

    def __init__(self, positions: Tensor, frame: Tensor, spec: MlpSpec, colour: bool):
        self.field, self.held = mlp_call(spec, positions.dtype)
        positions, frame = positions.detach().contiguous(), frame.int().contiguous()
        self.held += [positions, frame]
        self.density = positions.new_empty(len(positions))
        self.rgb = positions.new_empty(len(positions), 3) if colour else None
        self.samples = _samples(positions, frame, self.density, self.rgb)


def on_card(tensor: Tensor) -> bool:
    """Whether a card's kernels compute what is asked of ``tensor``; tests let them run on a processor."""
    return tensor.is_cuda


CARD_FORMATS = ("single", "half")  # of a card's kernels, by their numbers


def card_format(tensor: Tensor) -> int:
    """Number of the format of a card's factors: half precision under torch's autocast, as for torch's own products."""
    return int(torch.is_autocast_enabled(tensor.device.type))


def number_of(dtype: torch.dtype, precision: str = "fp32") -> int:
    """The C interface's number of the instruction set to use; raises as ``jean.kernels.library.target`` does."""
    if dtype == torch.float64:
        return library.DOUBLE
    if precision == "bf16":
        return library.HALF_TARGETS[library.half_target()]
    return library.TARGETS[library.target()]


def mlp_call(spec: MlpSpec, dtype: torch.dtype) -> tuple[structures.Mlp, list[Tensor]]:
    """The C structure of a field, and what must live as long as it is used."""
    _require(spec, dtype)
    held = _contiguous([t.to(dtype) for t in (*spec.weights, *spec.biases, *spec.ends)])
    return _mlp(held, len(spec.weights), [spec.trunk, spec.join, spec.frames], [*spec.middle, *spec.reach]), held


def _require(spec: MlpSpec, dtype: torch.dtype) -> None:
    columns = structures.COLUMNS_DOUBLE if dtype == torch.float64 else structures.COLUMNS
    if len(spec.weights) > structures.MAX_LAYERS:
        raise ValueError(f"the kernels take {structures.MAX_LAYERS} layers, not {len(spec.weights)}")
    if not 0 < spec.join < spec.trunk:
        raise ValueError("the encoding has to be joined again between the trunk's first layer and its last")
    for weight in spec.weights:
        if weight.shape[0] % columns:
            raise ValueError(f"the kernels take layers of a multiple of {columns} outputs, not {weight.shape[0]}")


@torch.library.custom_op("jean::mlp", mutates_args=())
def _mlp_op(
    positions: Tensor,
    frame: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    ends: list[Tensor],
    layout: list[int],
    box: list[float],
    target: int,
) -> tuple[Tensor, Tensor]:
    tensors = _contiguous([positions, *weights, *biases, *ends])
    call, frame = _mlp(tensors[1:], len(weights), layout, box), frame.contiguous()
    density, rgb = positions.new_empty(len(positions)), positions.new_empty(len(positions), 3)
    samples = _samples(tensors[0], frame, density, rgb)
    if on_card(positions):
        from jean.kernels.cuda.mlp import launch_mlp  # a processor needs none of it

        launch_mlp(call, samples, positions.device, CARD_FORMATS[target])
    else:
        library.call("jean_mlp_forward", call, samples, 0, target, torch.get_num_threads())
    return density, rgb


@_mlp_op.register_fake
def _(positions, frame, weights, biases, ends, layout, box, target):
    count = positions.shape[0]
    return positions.new_empty(count), positions.new_empty(count, 3)


@torch.library.custom_op("jean::mlp_backward", mutates_args=())
def _mlp_backward(
    to_density: Tensor,
    to_rgb: Tensor,
    density: Tensor,
    rgb: Tensor,
    positions: Tensor,
    frame: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    ends: list[Tensor],
    layout: list[int],
    box: list[float],
    target: int,
    move: bool,
) -> list[Tensor]:
    tensors = _contiguous([positions, *weights, *biases, *ends])
    frame, to_density, to_rgb, density, rgb = _contiguous([frame, to_density, to_rgb, density, rgb])
    call, layers = _mlp(tensors[1:], len(weights), layout, box), len(weights)
    made = [torch.empty_like(tensor) for tensor in tensors[1:]]
    to_positions = torch.zeros_like(tensors[0]) if move else positions.new_empty(0)
    samples = _samples(tensors[0], frame, density, rgb)
    if on_card(positions):
        from jean.kernels.cuda.mlp import launch_mlp_backward  # a processor needs none of it

        moved = to_positions if move else None
        launch_mlp_backward(call, samples, to_density, to_rgb, made, moved, CARD_FORMATS[target])
        return [to_positions, *made]
    out = structures.MlpGradients()
    for index in range(layers):
        out.weight[index], out.bias[index] = made[index].data_ptr(), made[layers + index].data_ptr()
    for name, tensor in zip(ENDS, made[2 * layers :], strict=True):
        setattr(out, name, tensor.data_ptr())
    out.positions = to_positions.data_ptr() if move else None
    library.call("jean_mlp_backward", call, samples, to_density, to_rgb, out, target, torch.get_num_threads())
    return [to_positions, *made]


@_mlp_backward.register_fake
def _(to_density, to_rgb, density, rgb, positions, frame, weights, biases, ends, layout, box, target, move):
    first = positions.new_empty(positions.shape) if move else positions.new_empty(0)
    return [first, *(t.new_empty(t.shape) for t in (*weights, *biases, *ends))]


def _setup_context(ctx, inputs, output) -> None:
    positions, frame, weights, biases, ends, layout, box, target = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*output, positions, frame, *weights, *biases, *ends)
    ctx.settings = (len(weights), layout, box, target)


def _backward(ctx, to_density, to_rgb):
    layers, layout, box, target = ctx.settings
    density, rgb, positions, frame, *rest = ctx.saved_tensors
    weights, biases, ends = rest[:layers], rest[layers : 2 * layers], rest[2 * layers :]
    to_density = torch.zeros_like(density) if to_density is None else to_density
    to_rgb = torch.zeros_like(rgb) if to_rgb is None else to_rgb
    move = bool(ctx.needs_input_grad[0])
    to_positions, *made = torch.ops.jean.mlp_backward(
        to_density, to_rgb, density, rgb, positions, frame, weights, biases, ends, layout, box, target, move
    )
    to_weights, to_biases, to_ends = made[:layers], made[layers : 2 * layers], made[2 * layers :]
    return to_positions if move else None, None, to_weights, to_biases, to_ends, None, None, None


_mlp_op.register_autograd(_backward, setup_context=_setup_context)


def _contiguous(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().contiguous() for tensor in tensors]


def _samples(positions: Tensor, frame: Tensor, density: Tensor, rgb: Tensor | None) -> structures.Samples:
    pointers = [None if t is None else t.data_ptr() for t in (positions, frame, density, rgb)]
    return structures.Samples(len(positions), *pointers, None)


def _mlp(tensors: Sequence[Tensor], layers: int, layout: list[int], box: list[float]) -> structures.Mlp:
    """The C structure; ``tensors`` are contiguous: weights, biases, ends."""
    call = structures.Mlp(layers, *layout)
    for index, (weight, bias) in enumerate(zip(tensors[:layers], tensors[layers : 2 * layers], strict=True)):
        layer = call.layer[index]
        layer.weight, layer.bias = weight.data_ptr(), bias.data_ptr()
        layer.outputs, layer.inputs = weight.shape
        layer.per_frame = int(bias.dim() == 2)
    for name, tensor in zip(ENDS, tensors[2 * layers :], strict=True):
        setattr(call, name, tensor.data_ptr())
    call.middle[:], call.reach[:] = box[:3], box[3:]
    return call
