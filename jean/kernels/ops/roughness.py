"""The smoothness prior of a table as one torch operator: one pass for its value, one for its slopes."""

from __future__ import annotations

import torch
from torch import Tensor

from jean.kernels import library
from jean.kernels.structures import Grid


def roughness(table: Tensor, height: int, width: int, target: str | None = None) -> Tensor:
    """Mean squared difference of neighbours along rows, plus that along columns.

    Args:
        table: [height * width, C], at least two cells along both.
        target: instruction set; None for the fastest.

    Raises:
        SetupError: the kernels are not built.
    """
    if height < 2 or width < 2:
        raise ValueError("a grid of one row or one column has no such neighbours")
    number = library.DOUBLE if table.dtype == torch.float64 else library.TARGETS[library.target(target)]
    return torch.ops.jean.roughness(table, height, width, number)


def _shares(table: Tensor, height: int, width: int) -> Tensor:
    """[2]: what a squared difference along a row and along a column counts."""
    channels = table.shape[1]
    return table.new_tensor([1 / (height * (width - 1) * channels), 1 / ((height - 1) * width * channels)])


@torch.library.custom_op("jean::roughness", mutates_args=())
def _roughness(table: Tensor, height: int, width: int, target: int) -> Tensor:
    table = table.detach().contiguous()
    sums = table.new_empty(2)
    grid = Grid(table.data_ptr(), height, width, table.shape[1])
    library.call("jean_roughness", grid, sums, target, torch.get_num_threads())
    return (sums * _shares(table, height, width)).sum()


@_roughness.register_fake
def _(table, height, width, target):
    return table.new_empty(())


@torch.library.custom_op("jean::roughness_backward", mutates_args=())
def _roughness_backward(to_value: Tensor, table: Tensor, height: int, width: int, target: int) -> Tensor:
    table = table.detach().contiguous()
    out = torch.empty_like(table)
    grid = Grid(table.data_ptr(), height, width, table.shape[1])
    factors = _shares(table, height, width) * to_value
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
