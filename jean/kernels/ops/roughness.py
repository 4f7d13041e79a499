"""The smoothness prior of a feature plane as a torch operator (``csrc/training.h``).

One pass over the table computes the value, one the gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jean.kernels import library
from jean.kernels.ops.common import target_number
from jean.kernels.structures import Grid


def roughness(table: Tensor, height: int, width: int, target: str | None = None) -> Tensor:
    """Mean squared difference of neighbouring cells along rows, plus that along columns.

    Args:
        table: [height * width, C].
        height: number of rows, at least 2.
        width: number of columns, at least 2.
        target: CPU instruction set; None: the fastest.

    Raises:
        SetupError: the kernels are not built.
        ValueError: one row or one column.
    """
    if height < 2 or width < 2:
        raise ValueError("a table of one row or one column has no neighbours along both axes")
    return torch.ops.jean.roughness(table, height, width, target_number(table.dtype, target))


def _weights(table: Tensor, height: int, width: int) -> Tensor:
    """[2]: weights of one squared difference along a row and along a column in the two means."""
    channels = table.shape[1]
    return table.new_tensor([1 / (height * (width - 1) * channels), 1 / ((height - 1) * width * channels)])


@torch.library.custom_op("jean::roughness", mutates_args=())
def _roughness(table: Tensor, height: int, width: int, target: int) -> Tensor:
    table = table.detach().contiguous()
    sums = table.new_empty(2)
    grid = Grid(table.data_ptr(), height, width, table.shape[1])
    library.call("jean_roughness", grid, sums, target, torch.get_num_threads())
    return (sums * _weights(table, height, width)).sum()


@_roughness.register_fake
def _(table, height, width, target):
    return table.new_empty(())


@torch.library.custom_op("jean::roughness_backward", mutates_args=())
def _roughness_backward(to_value: Tensor, table: Tensor, height: int, width: int, target: int) -> Tensor:
    table = table.detach().contiguous()
    out = torch.empty_like(table)
    grid = Grid(table.data_ptr(), height, width, table.shape[1])
    factors = _weights(table, height, width) * to_value
    library.call("jean_roughness_backward", grid, factors, out, target, torch.get_num_threads())
    return out


@_roughness_backward.register_fake
def _(to_value, table, height, width, target):
    return torch.empty_like(table, memory_format=torch.contiguous_format)


def _setup_context(ctx, inputs, output) -> None:
    table, *ctx.settings = inputs
    ctx.save_for_backward(table)


def _backward(ctx, to_value):
    return torch.ops.jean.roughness_backward(to_value, *ctx.saved_tensors, *ctx.settings), None, None, None


_roughness.register_autograd(_backward, setup_context=_setup_context)
