"""The renderer's operations as callers use them. Compiled kernels enter here, beside the reference."""

from __future__ import annotations

import torch
from torch import Tensor

from jean.errors import SetupError
from jean.render import native, ray_ops, reference
from jean.render.field_op import PlaneSpec, Prior, triplane_field
from jean.render.mlp_op import MlpSpec, mlp_field, mlp_values
from jean.render.picture_op import FrameField, picture
from jean.render.reference import Composite, camera_rays, over

__all__ = [
    "Composite",
    "FrameField",
    "MlpSpec",
    "PlaneSpec",
    "Prior",
    "camera_rays",
    "composite",
    "mlp_field",
    "mlp_values",
    "over",
    "picture",
    "resolve_backend",
    "triplane_field",
    "use_native",
]


def use_native(backend: str, tensor: Tensor) -> bool:
    """Whether the compiled kernels compute what is asked of ``tensor``.

    Args:
        backend: "native" insists on them, "reference" on torch, "auto" takes them where they can run.
        tensor: its device and type decide what can run.

    Raises:
        SetupError: "native" where they cannot run.
    """
    if backend == "reference":
        return False
    fits = tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.float64)
    if fits and native.load() is not None:
        return True
    if backend == "native":
        if fits:
            raise SetupError("the kernels are not built for these sources.", f"Run: {native.REMEDY}")
        raise SetupError(
            f"there are no kernels for {tensor.device.type} and {tensor.dtype}.", "Give --backend reference, or auto."
        )
    return False


def resolve_backend(backend: str, device: torch.device) -> str:
    """ "native" or "reference" for a configured ``backend`` on a device; raises as ``use_native``."""
    return "native" if use_native(backend, torch.empty(0, device=device)) else "reference"


def composite(density: Tensor, channels: Tensor, depths: Tensor, intervals: Tensor, backend: str = "auto") -> Composite:
    """Emission and absorption along rays; see ``jean.render.reference.composite``."""
    if use_native(backend, density):
        return ray_ops.composite(density, channels, depths, intervals)
    return reference.composite(density, channels, depths, intervals)
