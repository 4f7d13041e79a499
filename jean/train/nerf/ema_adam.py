"""Adam with an exponential moving average (EMA) of the weights, in one pass over memory where the kernels run.

A step of the fast head updates two million parameters, and takes as long as it takes to read and write them. torch's
fused Adam, the EMA, and the check for non-finite gradients would be three passes over memory.
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
    """``torch.optim.Adam`` that also updates an EMA of the weights.

    States, parameter groups and results are those of ``torch.optim.Adam``; weight decay and variants are not supported.

    Args:
        groups: parameter groups, as for ``torch.optim.Adam``.
        weights: parameters with an EMA.
        ema_weights: their EMA, tensors of the same shapes in the same order.
        backend: "native" for the kernels, "reference" for torch.
        options: betas, eps and capturable of ``torch.optim.Adam``.

    Attributes:
        finite: whether all gradients of the last step were finite; None if the step did not check it.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        weights: Sequence[Tensor] = (),
        ema_weights: Sequence[Tensor] = (),
        backend: str = "native",
        **options: Any,
    ):
        super().__init__(groups, fused=True, **options)
        self._weights, self._ema_weights = list(weights), list(ema_weights)
        self._native = backend == "native"
        self.finite: bool | None = None

    @torch.no_grad()
    def step_with_ema(self, fraction: float) -> None:
        """Takes one optimisation step, then moves the EMA by ``fraction`` of its distance to the new weights."""
        if self._native:
            self._one_pass(fraction)
            return
        self.step()
        self.move_ema(fraction)

    @torch.no_grad()
    def move_ema(self, fraction: float) -> None:
        """Moves the EMA by ``fraction`` of its distance to the weights."""
        if self._ema_weights:
            torch._foreach_lerp_(self._ema_weights, self._weights, fraction)

    def _one_pass(self, fraction: float) -> None:
        """``step_with_ema`` by the kernel, which also checks the gradients."""
        ema_of = dict(zip(map(id, self._weights), self._ema_weights, strict=False))
        updated = [(group, p) for group in self.param_groups for p in group["params"] if p.grad is not None]
        states = [self._state_of(parameter) for _, parameter in updated]
        # the list keeps contiguous copies alive until the kernel returns
        gradients = [parameter.grad.contiguous() for _, parameter in updated]
        torch._foreach_add_([state["step"] for state in states], 1)
        rows = []
        for (group, parameter), state, gradient in zip(updated, states, gradients, strict=True):
            (beta1, beta2), count = group["betas"], state["step"].item()
            ema = ema_of.pop(id(parameter), None)
            pointers = (parameter, state["exp_avg"], state["exp_avg_sq"], ema, gradient)
            step, root = group["lr"] / (1 - beta1**count), 1 / math.sqrt(1 - beta2**count)
            rows.append(AdamTensor(parameter.numel(), *map(_pointer, pointers), beta1, beta2, group["eps"], step, root))
        for parameter in self._weights:  # parameters without a gradient: only their EMA moves
            if (ema := ema_of.get(id(parameter))) is not None:
                rows.append(AdamTensor(parameter.numel(), _pointer(parameter), None, None, _pointer(ema), None))
        call, finite = Adam((AdamTensor * len(rows))(*rows), len(rows), fraction), torch.zeros(1, dtype=torch.int64)
        library.call("jean_adam", call, finite, library.TARGETS[library.target()], torch.get_num_threads())
        # the kernel wrote to these tensors without torch: their version counters are advanced here
        torch.autograd.graph.increment_version([*(parameter for _, parameter in updated), *self._ema_weights])
        self.finite = bool(finite.item())

    def _state_of(self, parameter: Tensor) -> dict[str, Any]:
        """The optimiser state of a parameter, initialised as by ``torch.optim.Adam``."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
        return state


def _pointer(tensor: Tensor | None) -> ctypes.c_void_p | None:
    """Address of a contiguous tensor's data; None for None."""
    if tensor is None:
        return None
    if not tensor.is_contiguous():
        raise ValueError("the kernels need contiguous weights")
    return ctypes.c_void_p(tensor.data_ptr())
