"""The renderer's operations as callers use them. Compiled kernels enter here, beside the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from jean.errors import SetupError, UsageError
from jean.kernels import library, reference
from jean.kernels.ops import rays as ray_ops
from jean.kernels.ops.mlp import MlpSpec, mlp_field, mlp_values
from jean.kernels.ops.mlp_picture import mlp_picture
from jean.kernels.ops.paint import FrameTorso, Seen
from jean.kernels.ops.paint import paint as paint_seen
from jean.kernels.ops.picture import FrameField, on_host, pairs, picture
from jean.kernels.ops.roughness import roughness
from jean.kernels.ops.torso import torso_layer
from jean.kernels.ops.trace import FieldOfFrames, trace
from jean.kernels.ops.triplane import PlaneSpec, Prior, triplane_field
from jean.kernels.reference import Composite, camera_rays, over

if TYPE_CHECKING:
    from jean.kernels.cuda.check import Verdict

ON_CUDA = (
    "picture",
    "triplane",
    "mlp",
    "mlp_values",
    "mlp_half",
    "march",
    "composite",
)  # operations that have kernels of csrc/cuda

__all__ = [
    "Composite",
    "FieldOfFrames",
    "FrameField",
    "FrameTorso",
    "MlpSpec",
    "PlaneSpec",
    "Prior",
    "Seen",
    "camera_rays",
    "composite",
    "mlp_field",
    "mlp_picture",
    "mlp_values",
    "on_host",
    "over",
    "paint_seen",
    "pairs",
    "picture",
    "require_half",
    "resolve_backend",
    "roughness",
    "torso_layer",
    "trace",
    "triplane_field",
    "use_native",
    "use_on_processor",
]


def use_native(backend: str, tensor: Tensor, operation: str) -> bool:
    """Whether the compiled kernels compute what is asked of ``tensor``.

    Args:
        backend: "native" insists on them, "reference" on torch, "auto" takes them where they can run; on a card
            only after they have agreed with torch there (``jean.kernels.cuda.check``).
        tensor: its device and type decide what can run.
        operation: "picture", "triplane", "march", "composite", "mlp", "mlp_values" or "mlp_half" (the values in half
            precision); a processor has them all.

    Raises:
        SetupError: "native" where they cannot run.
    """
    if backend == "reference":
        return False
    if tensor.is_cuda and tensor.dtype == torch.float32 and operation in ON_CUDA:
        return backend == "native" or cuda_verdict(operation, tensor.device).passed
    fits = tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.float64)
    if fits and library.load() is not None:
        return True
    if backend == "native":
        if fits:
            raise SetupError("the kernels are not built for these sources.", f"Run: {library.REMEDY}")
        raise SetupError(
            f"there are no kernels for {operation} on {tensor.device.type} in {tensor.dtype}.",
            "Give --backend reference, or auto.",
        )
    return False


def use_on_processor(backend: str, tensor: Tensor, operation: str) -> bool:
    """``use_native`` for an operation that torch does on cards whatever the backend is."""
    return not tensor.is_cuda and use_native(backend, tensor, operation)


def require_half(precision: str, backend: str, tensor: Tensor, operation: str) -> None:
    """Raises UsageError for ``precision`` "bf16" where a processor's kernels for it cannot run; see ``use_native``."""
    if precision != "bf16":
        return
    if backend == "reference" or not use_native(backend, tensor, operation):
        raise UsageError("bf16 needs the compiled kernels.", "Leave --precision or --backend away.")
    if not tensor.is_cuda:
        library.half_target()


def resolve_backend(
    backend: str, device: torch.device, operation: str, say: Callable[[str], None] | None = None
) -> str:
    """ "native" or "reference" for a configured ``backend`` on a device; raises as ``use_native``.

    Args:
        operation: see ``use_native``.
        say: is told how the check of a card's kernels went, if there was one.
    """
    used = use_native(backend, torch.empty(0, device=device), operation)
    if say and backend == "auto" and device.type == "cuda" and operation in ON_CUDA:
        say(cuda_verdict(operation, torch.empty(0, device=device).device).line)
    return "native" if used else "reference"


def cuda_verdict(operation: str, device: torch.device) -> Verdict:
    """Whether a card's kernels agree with torch; found out once."""
    from jean.kernels.cuda.check import verdict  # a processor needs none of it

    return verdict(operation, device)


def composite(density: Tensor, channels: Tensor, depths: Tensor, intervals: Tensor, backend: str = "auto") -> Composite:
    """Emission and absorption along rays; see ``jean.kernels.reference.composite``."""
    if use_native(backend, density, "composite"):
        return ray_ops.composite(density, channels, depths, intervals)
    return reference.composite(density, channels, depths, intervals)
