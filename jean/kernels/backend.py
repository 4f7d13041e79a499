"""Which implementation an operation uses: compiled kernels or readable torch, decided once.

A ``Backend`` is resolved when a model is loaded or a training starts, and passed to every module that calls an
operation. Resolving finds the compiled library and, on a GPU, compares its kernels with torch. Each later answer is one
lookup in a set::

    backend = Backend.resolve("auto", device, operations=head.operations, say=progress.say)
    progress.say(f"backend: {backend.implementation('render_rays')}.")

    if backend.uses_kernels("triplane", positions):  # in a module's forward
        density, rgb = triplane_field(positions, ...)
    else:
        ...  # the same in torch

Always pass the tensor whose device and dtype decide. Kernels compute a tensor on the resolved device only, in float32,
on the CPU also in float64 (for gradient checks). For any other tensor the answer is False, and with the choice "native"
a SetupError. Without a tensor the answer is that for float32 on the resolved device.

``OPERATIONS`` lists the operations. Some have no GPU kernels: a GPU computes them with torch, whatever the choice is,
"native" included. So call sites need not distinguish devices.

Models that are built without resolving use ``Backend.default()``: kernels on the CPU where the library is built. It
never uses GPU kernels, since these have to be compared with torch before. ``REFERENCE`` uses torch for everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from jean.errors import SetupError, UsageError
from jean.kernels import library

if TYPE_CHECKING:
    from jean.kernels.cuda.check import Verdict

Choice = Literal["auto", "native", "reference"]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Operation:
    """Where an operation has compiled kernels; the CPU has kernels for all operations.

    Attributes:
        gpu_checks: names in ``jean.kernels.cuda.check.CHECKS`` that its GPU kernels have to pass; empty: a GPU computes
            it with torch.
        gpu_checks_bf16: the same in bf16; empty: the GPU has no kernels in bf16 for it.
        cpu_bf16: whether the CPU has kernels in bf16 for it.
        dtypes: of tensors that the CPU's kernels compute.
    """

    gpu_checks: tuple[str, ...] = ()
    gpu_checks_bf16: tuple[str, ...] = ()
    cpu_bf16: bool = False
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float64)

    def checks(self, precision: str) -> tuple[str, ...]:
        """The checks that GPU kernels have to pass in a precision."""
        return self.gpu_checks_bf16 if precision == "bf16" and self.gpu_checks_bf16 else self.gpu_checks

    def has_bf16(self, device: torch.device) -> bool:
        """Whether kernels in bf16 exist for a kind of device."""
        return self.cpu_bf16 if device.type == "cpu" else bool(self.gpu_checks_bf16)


_FLOAT32 = (torch.float32,)
OPERATIONS: dict[str, Operation] = {
    # the fast head: values and gradients of its field; rays with gradients; fused rendering of rays and of pixels
    "triplane": Operation(("triplane",)),
    "trace": Operation(),
    "render_rays": Operation(("picture",), cpu_bf16=True, dtypes=_FLOAT32),
    "render_pixels": Operation(cpu_bf16=True, dtypes=_FLOAT32),
    # the paper's head: values and gradients of its field; values alone; fused rendering of rays
    # (training may use autocast, so the kernels for gradients have to pass in both precisions)
    "mlp": Operation(("mlp_values", "mlp_half")),
    "mlp_values": Operation(("mlp_values",), ("mlp_half",), cpu_bf16=True),
    "render_mlp_rays": Operation(cpu_bf16=True, dtypes=_FLOAT32),
    # Gaussians in a window of a picture, with gradients
    "splat": Operation(("splat",)),
    # both heads
    "march": Operation(("march",)),
    "composite": Operation(("composite",)),
    "torso": Operation(),
    "roughness": Operation(),
    "adam": Operation(dtypes=_FLOAT32),
}


@dataclass(frozen=True)
class Backend:
    """What computes each operation on one device. Build it with ``Backend.resolve`` or ``Backend.default``.

    Attributes:
        choice: as configured: "native" insists on kernels, "reference" on torch, "auto" uses kernels where they run.
        device: for which it was resolved.
        precision: of rendering with kernels. Training in bf16 is torch's autocast and does not concern the backend.
        resolved: operations that it can be asked about.
        kernels: those of them that compiled kernels compute on ``device``.
    """

    choice: Choice
    device: torch.device
    precision: Precision = "fp32"
    resolved: frozenset[str] = frozenset(OPERATIONS)
    kernels: frozenset[str] = frozenset()

    @classmethod
    def resolve(
        cls,
        choice: Choice,
        device: torch.device | str,
        precision: Precision = "fp32",
        operations: Iterable[str] = tuple(OPERATIONS),
        say: Callable[[str], None] | None = None,
    ) -> Backend:
        """Decides what computes each operation.

        Args:
            choice: "auto", "native" or "reference".
            device: of the model.
            precision: "fp32", or "bf16" for rendering with kernels that round the factors of products to 8 bits.
            operations: those of ``OPERATIONS`` that the model uses. On a GPU each of them is compiled and compared with
                torch, so name no others.
            say: receives one line for each comparison on a GPU.

        Raises:
            SetupError: "native" where the kernels are not built, or for a device without kernels.
            UsageError: bf16 where no kernels in bf16 exist for these operations.
            ValueError: an unknown choice or operation.
        """
        if choice not in ("auto", "native", "reference"):
            raise ValueError(f"unknown backend {choice!r}")
        names, device = frozenset(operations), torch.device(device)
        unknown = names - set(OPERATIONS)
        if unknown:
            raise ValueError(f"unknown operations: {', '.join(sorted(unknown))}")
        if choice == "reference":
            kernels: frozenset[str] = frozenset()
        elif device.type == "cuda":
            kernels = frozenset(
                name for name in OPERATIONS if name in names and _gpu_kernels(name, choice, device, precision, say)
            )
        else:
            kernels = names if _cpu_kernels(choice, device) else frozenset()
        if precision == "bf16":
            _require_bf16(device, names, kernels)
        return cls(choice, device, precision, names, kernels)

    @classmethod
    def default(cls) -> Backend:
        """For models built without resolving: kernels on the CPU where the library is built, else torch."""
        return _default(library.load() is not None)

    def uses_kernels(self, operation: str, tensor: Tensor | None = None) -> bool:
        """Whether compiled kernels compute an operation.

        Args:
            operation: a name in ``OPERATIONS``.
            tensor: an input of the operation, for its device and dtype; None: float32 on the resolved device.

        Raises:
            ValueError: an operation that was not resolved.
            SetupError: "native" was chosen, and there are no kernels for this tensor.
        """
        if operation not in self.resolved:
            raise ValueError(f"the backend was not resolved for {operation!r}")
        if tensor is None:
            return operation in self.kernels
        entry = OPERATIONS[operation]
        if tensor.is_cuda and not entry.gpu_checks:
            return False  # torch's on every GPU
        dtypes = _FLOAT32 if tensor.is_cuda else entry.dtypes
        if tensor.dtype in dtypes and _same(tensor.device, self.device):
            return operation in self.kernels
        if self.choice == "native":
            raise SetupError(
                f"there are no kernels for {operation} on {tensor.device.type} in {tensor.dtype} "
                f"(the backend is for {self.device}).",
                "Give --backend reference, or auto.",
            )
        return False

    def implementation(self, operation: str) -> Literal["native", "reference"]:
        """Name of what computes an operation on the resolved device, as printed and stored."""
        return "native" if self.uses_kernels(operation) else "reference"


REFERENCE = Backend("reference", torch.device("cpu"))


@lru_cache
def _default(built: bool) -> Backend:
    return Backend("auto", torch.device("cpu"), kernels=frozenset(OPERATIONS if built else ()))


def _same(a: torch.device, b: torch.device) -> bool:
    """Whether two names are of one device; "cuda" without a number is the current GPU."""
    return a.type == b.type and (a.index is None or b.index is None or a.index == b.index)


def _cpu_kernels(choice: str, device: torch.device) -> bool:
    """Whether the CPU's library is there; raises SetupError where "native" insists on it in vain."""
    if device.type == "cpu" and library.load() is not None:
        return True
    if choice == "native":
        if device.type == "cpu":
            raise SetupError("the kernels are not built for these sources.", f"Run: {library.REMEDY}")
        raise SetupError(f"there are no kernels for {device.type}.", "Give --backend reference, or auto.")
    return False


def _gpu_kernels(
    operation: str, choice: str, device: torch.device, precision: str, say: Callable[[str], None] | None
) -> bool:
    """Whether a GPU's kernels compute an operation; "auto" compares them with torch first."""
    checks = OPERATIONS[operation].checks(precision)
    if choice == "native" or not checks:
        return bool(checks)
    verdicts = [cuda_verdict(check, device) for check in checks]
    if say:
        for verdict in verdicts:
            say(verdict.line)
    return all(verdict.passed for verdict in verdicts)


def _require_bf16(device: torch.device, names: frozenset[str], kernels: frozenset[str]) -> None:
    able = {name for name in names if OPERATIONS[name].has_bf16(device)}
    if not able:
        raise UsageError(f"this model has no bf16 kernels on {device.type}.", "Leave --precision away.")
    if not able & kernels:
        raise UsageError("bf16 needs the compiled kernels.", "Leave --precision or --backend away.")
    if device.type == "cpu":
        library.bf16_target()


def cuda_verdict(check: str, device: torch.device) -> Verdict:
    """Whether a GPU's kernels agree with torch; compared once per process."""
    from jean.kernels.cuda.check import verdict  # needs no GPU to be imported, but the CPU never needs it

    return verdict(check, device)
