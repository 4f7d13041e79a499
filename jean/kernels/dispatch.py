"""The operations of the renderer, as models import them.

Each operation takes its compiled kernels for granted: the caller asks ``Backend.uses_kernels`` first, and computes the
same in torch where the answer is no. ``composite`` and ``splat`` ask themselves, since their torch references have the
same arguments.
"""

from __future__ import annotations

from torch import Tensor

from jean.kernels import reference, reference_splat
from jean.kernels.arguments import FrameField, PlaneSpec, Prior, cached_list
from jean.kernels.backend import (
    REFERENCE,
    Backend,
)
from jean.kernels.ops import rays
from jean.kernels.ops import splat as splat_kernels
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
from jean.kernels.reference_splat import SeenGaussians, Splat

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
    "Splat",
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
    "roughness",
    "splat",
    "torso_layer",
    "trace",
    "triplane_field",
]


def composite(density: Tensor, channels: Tensor, depths: Tensor, intervals: Tensor, backend: Backend) -> Composite:
    """Emission and absorption along rays, by kernels or torch; see ``jean.kernels.reference.composite``."""
    if backend.uses_kernels("composite", density):
        return rays.composite(density, channels, depths, intervals)
    return reference.composite(density, channels, depths, intervals)


def splat(
    seen: SeenGaussians,
    window: tuple[int, int, int, int],
    backend: Backend,
    *,
    screen: Tensor | None = None,
    near_cm: float = reference_splat.NEAR_CM,
    compensate: bool = False,
) -> Splat:
    """Gaussians rasterised by kernels or torch; see ``jean.kernels.reference_splat.splat``."""
    function = splat_kernels.splat if backend.uses_kernels("splat", seen.centres) else reference_splat.splat
    return function(seen, window, screen=screen, near_cm=near_cm, compensate=compensate)
