"""The operations of the renderer, as models import them.

Each operation takes its compiled kernels for granted: the caller asks ``Backend.uses_kernels`` first, and computes the
same in torch where the answer is no. ``composite`` asks itself, since its torch reference has the same arguments.
"""

from __future__ import annotations

from torch import Tensor

from jean.kernels import reference
from jean.kernels.arguments import FrameField, PlaneSpec, Prior, cached_list
from jean.kernels.backend import (
    REFERENCE,
    Backend,
    require_half,
    resolve_backend,
    use_native,
    use_on_processor,
)
from jean.kernels.ops import rays
from jean.kernels.ops.mlp import MlpSpec, mlp_field, mlp_values, render_mlp_rays_fused
from jean.kernels.ops.render import (
    FrameScene,
    FrameTorso,
    neighbour_pairs,
    render_pixels_fused,
    render_rays_fused,
)
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
    "FrameScene",
    "FrameTorso",
    "MlpSpec",
    "PlaneSpec",
    "Prior",
    "cached_list",
    "camera_rays",
    "composite",
    "mlp_field",
    "mlp_values",
    "neighbour_pairs",
    "over",
    "render_mlp_rays_fused",
    "render_pixels_fused",
    "render_rays_fused",
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
    density: Tensor, channels: Tensor, depths: Tensor, intervals: Tensor, backend: Backend | str = "auto"
) -> Composite:
    """Emission and absorption along rays, by kernels or torch; see ``jean.kernels.reference.composite``."""
    if use_native(backend, density, "composite"):
        return rays.composite(density, channels, depths, intervals)
    return reference.composite(density, channels, depths, intervals)
