"""Adam and the moving average of the weights, in one pass over memory where the kernels can run.

A step of the fast head moves two million numbers, and its time is that of reading and writing them. torch's fused Adam,
the moving average, and the check for gradients that are not finite would be three such passes.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jean.kernels import library
from jean.kernels.structures import Adam, AdamTensor


class AdamWithEma(torch.optim.Adam):
    """``torch.optim.Adam`` (no weight decay, no variants), with its states, groups and results.

    Args:
        groups: as ``torch.optim.Adam`` takes them.
        weights: parameters that have a moving average.
        averages: their moving averages, tensors of the same shapes.
        backend: "native" for the kernels, "reference" for torch's own passes.
        options: of ``torch.optim.Adam``: betas, eps, capturable.

    Attributes:
        finite: whether all gradients of the last step were finite; None where it was not checked.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        weights: Sequence[Tensor] = (),
        averages: Sequence[Tensor] = (),
        backend: str = "native",
        **options: Any,
    ):
        super().__init__(groups, fused=True, **options)
        self._weights, self._averages = list(weights), list(averages)
        self._native = backend == "native"
        self.finite: bool | None = None

    @torch.no_grad()
    def step_with_ema(self, fraction: float) -> None:
        """One step; the averages then move by ``fraction`` of their distance to the new weights."""
        if self._native:
            self._one_pass(fraction)
            return
        self.step()
        self.move_ema(fraction)

    @torch.no_grad()
    def move_ema(self, fraction: float) -> None:
        """The averages move by ``fraction`` of their distance to the weights."""
        if self._averages:
            torch._foreach_lerp_(self._averages, self._weights, fraction)

    def _one_pass(self, fraction: float) -> None:
        averages = dict(zip(map(id, self._weights), self._averages, strict=False))
        moved = [(group, p) for group in self.param_groups for p in group["params"] if p.grad is not None]
        states = [self._state_of(parameter) for _, parameter in moved]
        gradients = [parameter.grad.contiguous() for _, parameter in moved]  # they live until the call is over
        torch._foreach_add_([state["step"] for state in states], 1)
        rows = []
        for (group, parameter), state, gradient in zip(moved, states, gradients, strict=True):
            (beta1, beta2), count = group["betas"], state["step"].item()
            average = averages.pop(id(parameter), None)
            pointers = (parameter, state["exp_avg"], state["exp_avg_sq"], average, gradient)
            step, root = group["lr"] / (1 - beta1**count), 1 / math.sqrt(1 - beta2**count)
            rows.append(AdamTensor(parameter.numel(), *map(_at, pointers), beta1, beta2, group["eps"], step, root))
        for parameter in self._weights:  # what no gradient reached
            if (average := averages.get(id(parameter))) is not None:
                rows.append(AdamTensor(parameter.numel(), _at(parameter), None, None, _at(average), None))
        call, finite = Adam((AdamTensor * len(rows))(*rows), len(rows), fraction), torch.zeros(1, dtype=torch.int64)
        library.call("jean_adam", call, finite, library.TARGETS[library.target()], torch.get_num_threads())
        # torch has not seen these writes
        torch.autograd.graph.increment_version([*(parameter for _, parameter in moved), *self._averages])
        self.finite = bool(finite.item())

    def _state_of(self, parameter: Tensor) -> dict[str, Any]:
        """As ``torch.optim.Adam`` begins it."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
        return state


def _at(tensor: Tensor | None) -> ctypes.c_void_p | None:
    if tensor is None:
        return None
    if not tensor.is_contiguous():
        raise ValueError("the kernels need contiguous weights")
    return ctypes.c_void_p(tensor.data_ptr())
