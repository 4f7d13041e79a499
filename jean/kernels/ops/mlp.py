"""The paper's field as a torch operator (``csrc/mlp.h``), its values alone, and its fused rendering.

What is constant over a frame comes folded into the biases of the layers that read it. So torch differentiates with
respect to condition and viewing direction, and the operator differentiates everything that is computed per sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jean.kernels import library, structures
from jean.kernels.arguments import fill_march
from jean.kernels.ops.common import contiguous, on_gpu, pointers, target_number
from jean.kernels.reference import UNIFORM_WEIGHT, Composite
from jean.kernels.structures import ENDS

ENCODED = 63  # 3 coordinates, sine and cosine of 10 octaves of each
GPU_FORMATS = ("single", "half")  # of the factors of a GPU's matrix products, by their numbers
# A ray of ``render_mlp_rays_fused`` ends at this transmittance: what lies behind changes no value of an image by more.
MIN_TRANSMITTANCE = 5e-3


@dataclass(frozen=True)
class MlpSpec:
    """F_Θ (Eq. 5) with per-frame inputs folded into biases.

    Attributes:
        weights: of every layer with a ReLU, [outputs, inputs]: the trunk, then the colour branch. The first reads an
            encoding [63], layer ``join`` an encoding and the layer before it.
        biases: [outputs], or [F, outputs] where frames differ.
        ends: in the order of ``ENDS``: density [1, width] of the trunk's last layer, rgb [3, colour width] of the
            branch's last layer.
        trunk: number of layers of the trunk.
        join: index of the layer that reads the encoding again, from 1.
        middle: centre of the box, head space, cm; positions are scaled by the box to [-1, 1].
        reach: half the size of the box, cm.
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

    @property
    def layout(self) -> tuple[list[int], list[float]]:
        """Sizes and box as the operators take them."""
        return [self.trunk, self.join, self.frames], [*self.middle, *self.reach]


def mlp_field(positions: Tensor, frame: Tensor, spec: MlpSpec) -> tuple[Tensor, Tensor]:
    """Density [N], per cm, and rgb [N, 3] in [0, 1] of the paper's field, with gradients.

    Args:
        positions: [N, 3], head space, cm.
        frame: [N] int, the frame of each position.
        spec: the field. A GPU computes its products in half precision under torch's autocast.

    Raises:
        SetupError: the kernels are not built.
        ValueError: too many layers, or widths that are no multiples of the kernels' columns.
    """
    _require(spec, positions.dtype)
    # under autocast torch has folded the per-frame inputs in another dtype
    weights, biases, ends = ([t.to(positions.dtype) for t in part] for part in (spec.weights, spec.biases, spec.ends))
    number = gpu_format(positions) if on_gpu(positions) else target_number(positions.dtype)
    return torch.ops.jean.mlp(positions, frame.int(), weights, biases, ends, *spec.layout, number)


@torch.no_grad()
def mlp_values(
    positions: Tensor, frame: Tensor, spec: MlpSpec, colour: bool = True, precision: str = "fp32"
) -> tuple[Tensor, Tensor | None]:
    """Density [N] and rgb [N, 3] for rendering, without gradients.

    Args:
        positions, frame, spec: as of ``mlp_field``.
        colour: False leaves rgb out (None). It is zero in tiles of 32 samples without density.
        precision: "fp32", or "bf16": factors of products are rounded to 8 bits, sums and heads are not.

    Raises:
        UsageError: bf16 on a processor without it.
        SetupError, ValueError: as ``mlp_field``.
    """
    call = MlpCall(positions, frame, spec, colour)
    if on_gpu(positions):
        from jean.kernels.cuda.mlp import launch_mlp  # the CPU needs none of it

        kind = "half" if precision == "bf16" else "single"
        launch_mlp(call.field, call.samples, positions.device, kind, skip_empty_tiles=True)
    else:
        number = target_number(positions.dtype, precision=precision)
        library.call("jean_mlp_forward", call.field, call.samples, 1, number, torch.get_num_threads())
    return call.density, call.rgb


class MlpCall:
    """The C structures of ``mlp_values``, whose arguments these are, and the tensors that they point to."""

    def __init__(self, positions: Tensor, frame: Tensor, spec: MlpSpec, colour: bool):
        self.field, self.held = mlp_structure(spec, positions.dtype)
        positions, frame = contiguous([positions, frame.int()])
        self.held += [positions, frame]
        self.density = positions.new_empty(len(positions))
        self.rgb = positions.new_empty(len(positions), 3) if colour else None
        self.samples = _samples(positions, frame, self.density, self.rgb)


@torch.no_grad()
def render_mlp_rays_fused(
    spec: MlpSpec,
    grid: Tensor,
    low: Tensor,
    high: Tensor,
    origins: Tensor,
    directions: Tensor,
    samples: int,
    coarse: int,
    precision: str = "fp32",
    min_transmittance: float = MIN_TRANSMITTANCE,
    uniform_weight: float = UNIFORM_WEIGHT,
    full_samples_opacity: float = 0.0,
) -> Composite:
    """Colour, opacity and depth of rays of one frame through an occupancy grid, on the CPU; no weights, no gradients.

    Args:
        spec: the field of that frame.
        grid: [D, H, W] sampling densities over the box from ``low`` [3] to ``high`` [3].
        origins: [R, 3], head space, cm.
        directions: [R, 3], of length 1.
        samples: per ray that hits occupied space.
        coarse: grid lookups per ray, at most 256.
        precision: "fp32" or "bf16", as of ``mlp_values``.
        min_transmittance: at which a ray ends.
        uniform_weight, full_samples_opacity: see ``jean.kernels.reference.march``.

    Raises:
        ValueError: more lookups than the kernels take, or several frames.
        UsageError, SetupError: as ``mlp_values``.
    """
    if coarse > structures.MAX_COARSE:
        raise ValueError(f"at most {structures.MAX_COARSE} lookups per ray, not {coarse}")
    if spec.frames != 1:
        raise ValueError("rays of one frame only")
    field, _held = mlp_structure(spec, torch.float32)
    grid, origins, directions = contiguous(t.float() for t in (grid, origins, directions))
    box = [*low.tolist(), *high.tolist()]
    march = fill_march(grid, origins, directions, box, samples, coarse, uniform_weight, full_samples_opacity)
    colour, opacity, depth = torch.empty(len(origins), 3), torch.empty(len(origins)), torch.empty(len(origins))
    out = structures.Picture(*pointers([colour, opacity, depth]), min_transmittance=min_transmittance)
    number = target_number(torch.float32, precision=precision)
    library.call("jean_mlp_picture", field, march, out, number, torch.get_num_threads())
    return Composite(colour, opacity, depth, colour.new_empty(len(origins), 0))


def gpu_format(tensor: Tensor) -> int:
    """Index in ``GPU_FORMATS``: half precision under torch's autocast, as for torch's own products."""
    return int(torch.is_autocast_enabled(tensor.device.type))


def mlp_structure(spec: MlpSpec, dtype: torch.dtype) -> tuple[structures.Mlp, list[Tensor]]:
    """The C structure of a field, and tensors that must live as long as it is used."""
    _require(spec, dtype)
    held = contiguous(t.to(dtype) for t in (*spec.weights, *spec.biases, *spec.ends))
    return _fill(held, len(spec.weights), *spec.layout), held


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
def _mlp(
    positions: Tensor,
    frame: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    ends: list[Tensor],
    sizes: list[int],
    box: list[float],
    target: int,
) -> tuple[Tensor, Tensor]:
    positions, frame, *tensors = contiguous([positions, frame, *weights, *biases, *ends])
    field = _fill(tensors, len(weights), sizes, box)
    density, rgb = positions.new_empty(len(positions)), positions.new_empty(len(positions), 3)
    samples = _samples(positions, frame, density, rgb)
    if on_gpu(positions):
        from jean.kernels.cuda.mlp import launch_mlp  # the CPU needs none of it

        launch_mlp(field, samples, positions.device, GPU_FORMATS[target])
    else:
        library.call("jean_mlp_forward", field, samples, 0, target, torch.get_num_threads())
    return density, rgb


@_mlp.register_fake
def _(positions, frame, weights, biases, ends, sizes, box, target):
    count = positions.shape[0]
    return positions.new_empty(count), positions.new_empty(count, 3)


@torch.library.custom_op("jean::mlp_backward", mutates_args=())
def _mlp_backward(
    to_outputs: list[Tensor],
    outputs: list[Tensor],
    positions: Tensor,
    frame: Tensor,
    tensors: list[Tensor],
    layers: int,
    sizes: list[int],
    box: list[float],
    target: int,
    with_positions: bool,
) -> list[Tensor]:
    positions, frame, *tensors = contiguous([positions, frame, *tensors])
    to_density, to_rgb, density, rgb = contiguous([*to_outputs, *outputs])
    field, samples = _fill(tensors, layers, sizes, box), _samples(positions, frame, density, rgb)
    gradients = [torch.empty_like(tensor) for tensor in tensors]
    to_positions = torch.zeros_like(positions) if with_positions else positions.new_empty(0)
    wanted = to_positions if with_positions else None
    if on_gpu(positions):
        from jean.kernels.cuda.mlp import launch_mlp_backward  # the CPU needs none of it

        launch_mlp_backward(field, samples, to_density, to_rgb, gradients, wanted, GPU_FORMATS[target])
        return [to_positions, *gradients]
    out = structures.MlpGradients()
    addresses = pointers(gradients)
    for index in range(layers):
        out.weight[index], out.bias[index] = addresses[index], addresses[layers + index]
    for name, address in zip(ENDS, addresses[2 * layers :], strict=True):
        setattr(out, name, address)
    out.positions = None if wanted is None else wanted.data_ptr()
    library.call("jean_mlp_backward", field, samples, to_density, to_rgb, out, target, torch.get_num_threads())
    return [to_positions, *gradients]


@_mlp_backward.register_fake
def _(to_outputs, outputs, positions, frame, tensors, layers, sizes, box, target, with_positions):
    to_positions = positions.new_empty(positions.shape if with_positions else 0)
    return [to_positions, *(tensor.new_empty(tensor.shape) for tensor in tensors)]


def _setup_context(ctx, inputs, output) -> None:
    positions, frame, weights, biases, ends, *settings = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*output, positions, frame, *weights, *biases, *ends)
    ctx.settings = (len(weights), *settings)


def _backward(ctx, to_density, to_rgb):
    density, rgb, positions, frame, *tensors = ctx.saved_tensors
    to_density = torch.zeros_like(density) if to_density is None else to_density
    to_rgb = torch.zeros_like(rgb) if to_rgb is None else to_rgb
    with_positions, layers = bool(ctx.needs_input_grad[0]), ctx.settings[0]
    to_positions, *gradients = torch.ops.jean.mlp_backward(
        [to_density, to_rgb], [density, rgb], positions, frame, tensors, *ctx.settings, with_positions
    )
    by_kind = gradients[:layers], gradients[layers : 2 * layers], gradients[2 * layers :]
    return to_positions if with_positions else None, None, *by_kind, None, None, None


_mlp.register_autograd(_backward, setup_context=_setup_context)


def _samples(positions: Tensor, frame: Tensor, density: Tensor, rgb: Tensor | None) -> structures.Samples:
    return structures.Samples(len(positions), *pointers([positions, frame, density, rgb]), None)


def _fill(tensors: Sequence[Tensor], layers: int, sizes: list[int], box: list[float]) -> structures.Mlp:
    """The C structure; ``tensors`` are contiguous: weights, biases, ends."""
    call = structures.Mlp(layers, *sizes)
    for layer, weight, bias in zip(call.layer, tensors[:layers], tensors[layers : 2 * layers], strict=False):
        layer.weight, layer.bias = weight.data_ptr(), bias.data_ptr()
        layer.outputs, layer.inputs = weight.shape
        layer.per_frame = int(bias.dim() == 2)
    for name, tensor in zip(ENDS, tensors[2 * layers :], strict=True):
        setattr(call, name, tensor.data_ptr())
    call.middle[:], call.reach[:] = box[:3], box[3:]
    return call
