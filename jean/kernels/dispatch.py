"""The renderer's operations as callers use them. Compiled kernels enter here, beside the reference."""

from __future__ import annotations

from torch import Tensor

from jean.kernels import reference
from jean.kernels.arguments import FrameField, PlaneSpec, Prior, on_host
from jean.kernels.backend import (
    REFERENCE,
    Backend,
    require_half,
    resolve_backend,
    use_native,
    use_on_processor,
)
from jean.kernels.ops import rays as ray_ops
from jean.kernels.ops.mlp import MlpSpec, mlp_field, mlp_values
from jean.kernels.ops.mlp_picture import mlp_picture
from jean.kernels.ops.paint import FrameTorso, Seen
from jean.kernels.ops.paint import paint as paint_seen
from jean.kernels.ops.picture import pairs, picture
from jean.kernels.ops.roughness import roughness
from jean.kernels.ops.torso import torso_layer
from jean.kernels.ops.trace import FieldOfFrames, trace
from jean.kernels.ops.triplane import triplane_field
from jean.kernels.reference import Composite, camera_rays, over

__all__ = [
    "REFERENCE",
    "Backend",
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


def composite(
    density: Tensor, channels: Tensor, depths: Tensor, intervals: Tensor, backend: str | Backend = "auto"
) -> Composite:
    """Emission and absorption along rays; see ``jean.kernels.reference.composite``."""
    native = (
        backend.uses_kernels("composite", density)
        if isinstance(backend, Backend)
        else use_native(backend, density, "composite")
    )
    if native:
        return ray_ops.composite(density, channels, depths, intervals)
    return reference.composite(density, channels, depths, intervals)
