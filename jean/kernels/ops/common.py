"""Helpers of the torch operators: tensors as C sees them, and the number of an instruction set."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from jean.kernels import library


def contiguous(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Detached tensors whose numbers lie in memory in the order of their indices; copies only where they do not."""
    return [tensor.detach().contiguous() for tensor in tensors]


def pointers(tensors: Iterable[Tensor | None]) -> list[int | None]:
    """Addresses of contiguous tensors; None (a null pointer in C) stays None."""
    return [None if tensor is None else tensor.data_ptr() for tensor in tensors]


def on_gpu(tensor: Tensor) -> bool:
    """Whether GPU kernels compute an operation on ``tensor``. Tests replace it to run these kernels on the CPU."""
    return tensor.is_cuda


def target_number(dtype: torch.dtype, target: str | None = None, precision: str = "fp32") -> int:
    """Number of the CPU's instruction set in the C interface.

    Args:
        dtype: float64 has kernels of its own (portable, for gradient checks).
        target: a name in ``jean.kernels.library.TARGETS``; None: the fastest.
        precision: "bf16" chooses among ``jean.kernels.library.BF16_TARGETS``.

    Raises:
        SetupError: the kernels are not built.
        UsageError: the processor does not have the instruction set.
    """
    if dtype == torch.float64:
        return library.DOUBLE
    if precision == "bf16":
        return library.BF16_TARGETS[library.bf16_target(target)]
    return library.TARGETS[library.target(target)]
