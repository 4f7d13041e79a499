"""Gaussians rasterised by the compiled kernels (``csrc/splat.h``): an operator with all gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jean.kernels import library, structures
from jean.kernels.ops.common import contiguous, on_gpu, pointers, target_number
from jean.kernels.reference_splat import NEAR_CM, SeenGaussians, Splat, check_shapes

MAX_COLOURS = 7  # of a record in splat.h, whose eighth channel is the depth
MAX_SIDE_PX = 2**20  # of a window: numbers of tiles have 16 bits


def splat(
    seen: SeenGaussians,
    window: tuple[int, int, int, int],
    *,
    screen: Tensor | None = None,
    near_cm: float = NEAR_CM,
    compensate: bool = False,
    target: str | None = None,
) -> Splat:
    """``jean.kernels.reference_splat.splat`` by the compiled kernels; its arguments are described there.

    Up to three colours cost the same, and so do four to seven. Any number of threads gives the same bits.

    Args:
        target: CPU instruction set; None: the fastest.

    Raises:
        SetupError: the kernels are not built.
        ValueError: shapes that do not fit, a negative window, one of more than ``MAX_SIDE_PX``, or more than
            ``MAX_COLOURS`` colours.
        MemoryError: too many pairs of Gaussians and tiles.
    """
    check_shapes(seen, window, screen)
    _check_limits(seen.colours, window)
    kind = seen.centres.dtype
    inputs = [tensor.to(kind) for tensor in seen]  # as under autocast
    number = 0 if on_gpu(seen.centres) else target_number(kind, target)
    colour, opacity, depth, radii, _, _ = torch.ops.jean.splat(
        *inputs, screen, list(window), near_cm, compensate, number
    )
    return Splat(colour, opacity, depth, radii)


def _check_limits(colours: Tensor, window: Sequence[int]) -> None:
    if colours.shape[1] > MAX_COLOURS:
        raise ValueError(f"at most {MAX_COLOURS} colours, not {colours.shape[1]}")
    if max(window[2:]) > MAX_SIDE_PX:
        raise ValueError(f"a window has at most {MAX_SIDE_PX} px along a side, not {max(window[2:])}")


@torch.library.custom_op("jean::splat", mutates_args=())
def _splat(
    centres: Tensor,
    scales: Tensor,
    rotations: Tensor,
    opacities: Tensor,
    colours: Tensor,
    world_to_camera: Tensor,
    intrinsics: Tensor,
    screen: Tensor | None,
    window: list[int],
    near_cm: float,
    compensate: bool,
    target: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    inputs = contiguous([centres, scales, rotations, opacities, colours, world_to_camera, intrinsics])
    outputs = _empty(inputs[0], inputs[4], window)
    call = _call(inputs, outputs, window, near_cm, compensate)
    if on_gpu(centres):
        from jean.kernels.cuda.splat import launch_splat  # the CPU needs none of it

        launch_splat(call, outputs[5])
    else:
        library.call("jean_splat", call, target, torch.get_num_threads())
    return outputs


@_splat.register_fake
def _(
    centres,
    scales,
    rotations,
    opacities,
    colours,
    world_to_camera,
    intrinsics,
    screen,
    window,
    near_cm,
    compensate,
    target,
):
    return _empty(centres, colours, window)


@torch.library.custom_op("jean::splat_backward", mutates_args=())
def _splat_backward(
    to_outputs: list[Tensor | None],
    inputs: list[Tensor],
    outputs: list[Tensor],
    window: list[int],
    near_cm: float,
    compensate: bool,
    target: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    inputs = contiguous(inputs)
    flow = [None if t is None else t.detach().contiguous() for t in to_outputs]
    gradients = [torch.empty_like(tensor) for tensor in inputs]
    gradients.append(inputs[0].new_empty(len(inputs[0]), 2))
    call = _call(inputs, outputs, window, near_cm, compensate)
    out = structures.SplatGradients(*pointers([*flow, *gradients]))
    if on_gpu(inputs[0]):
        from jean.kernels.cuda.splat import SUMS, launch_splat_backward  # the CPU needs none of it

        to_camera = inputs[0].new_empty(SUMS)
        launch_splat_backward(call, out, outputs[5], to_camera)
        gradients[5].copy_(to_camera[:12].view(3, 4))
        gradients[6].copy_(to_camera[12:15])
    else:
        library.call("jean_splat_backward", call, out, target, torch.get_num_threads())
    return tuple(gradients)  # type: ignore[return-value]


@_splat_backward.register_fake
def _(to_outputs, inputs, outputs, window, near_cm, compensate, target):
    made = [torch.empty_like(t, memory_format=torch.contiguous_format) for t in inputs]
    return (*made, inputs[0].new_empty(inputs[0].shape[0], 2))


def _setup_context(ctx, inputs, output) -> None:
    *tensors, screen, window, near_cm, compensate, target = inputs
    ctx.settings = window, near_cm, compensate, target
    ctx.has_screen = screen is not None
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*output[3:])
    ctx.save_for_backward(*tensors, *output)


def _backward(ctx, to_colour, to_opacity, to_depth, *_):
    saved = list(ctx.saved_tensors)
    flow = [to_colour, to_opacity, to_depth]
    *gradients, screen = torch.ops.jean.splat_backward(flow, saved[:7], saved[7:], *ctx.settings)
    return *gradients, screen if ctx.has_screen else None, None, None, None, None


_splat.register_autograd(_backward, setup_context=_setup_context)


def _empty(
    centres: Tensor, colours: Tensor, window: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Memory for colour, opacity, depth, radii, records and order."""
    count, channels, make = centres.shape[0], colours.shape[1], centres.new_empty
    width, height = window[2:]
    record = structures.splat_record(channels)
    order = make(count, dtype=torch.int32)
    return (
        make(height, width, channels),
        make(height, width),
        make(height, width),
        make(count),
        make(count, record),
        order,
    )


def _call(
    inputs: Sequence[Tensor], outputs: Sequence[Tensor], window: Sequence[int], near_cm: float, compensate: bool
) -> structures.Splats:
    colour, opacity, depth, radii, records, order = outputs
    call = structures.Splats(count=len(inputs[0]), channels=inputs[4].shape[1], compensate=compensate, near_cm=near_cm)
    call.window[:] = window
    call.fill(pointers([*inputs, records, radii, order, colour, opacity, depth]))
    return call
