"""The renderer's operations as callers use them. Compiled kernels enter here, beside the reference."""

from __future__ import annotations

from jean.render.reference import Composite, camera_rays, composite, over

__all__ = ["Composite", "camera_rays", "composite", "over"]
