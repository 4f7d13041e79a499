"""The volume renderer in readable torch: rays, samples along them, compositing.

Compiled kernels must agree with these functions in values and gradients. Depths are distances
along unit directions, in the unit of the scene (cm of head space).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Composite:
    """Colour, opacity and depth of rays.

    Attributes:
        channels: [R, C], channels accumulated along the ray (no background).
        opacity: [R] in [0, 1].
        depth: [R], expected distance of the surface, cm, premultiplied by opacity.
        weights: [R, S], contribution of each interval; [R, 0] from operations that do not return weights.
    """

    channels: Tensor
    opacity: Tensor
    depth: Tensor
    weights: Tensor


def camera_rays(pixels: Tensor, focal_px: Tensor, center_px: Tensor, camera_to_world: Tensor):
    """Rays through pixels.

    Args:
        pixels: [R, 2] positions (x, y), px; the centre of a pixel lies at a half-integer.
        focal_px: [R] focal lengths.
        center_px: [R, 2] principal points (x, y).
        camera_to_world: [R, 4, 4], OpenCV axes.

    Returns:
        origins [R, 3] and unit directions [R, 3] in world space.
    """
    slopes = (pixels - center_px) / focal_px[:, None]
    local = torch.cat([slopes, torch.ones_like(slopes[:, :1])], -1)
    local = local / local.norm(dim=-1, keepdim=True)
    directions = (camera_to_world[..., :3, :3] @ local[:, :, None])[..., 0]
    origins = camera_to_world[..., :3, 3].expand_as(directions)
    return origins, directions


def box_interval(origins: Tensor, directions: Tensor, low: Tensor, high: Tensor):
    """Distances at which rays enter and leave an axis-aligned box (slab test).

    Returns:
        near [R] and far [R], cm; a ray that misses has near = far.
    """
    inverse = 1.0 / torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
    a, b = (low - origins) * inverse, (high - origins) * inverse
    near = torch.minimum(a, b).amax(-1).clamp_min(0.0)
    far = torch.maximum(a, b).amin(-1)
    return near, torch.maximum(near, far)


def uniform_edges(near: Tensor, far: Tensor, intervals: int) -> Tensor:
    """Edges [R, S + 1] of equal intervals between near [R] and far [R]."""
    steps = torch.linspace(0.0, 1.0, intervals + 1, device=near.device, dtype=near.dtype)
    return near[:, None] + (far - near)[:, None] * steps


def stratified_depths(near: Tensor, far: Tensor, samples: int, generator: torch.Generator | None = None) -> Tensor:
    """Depths [R, S], one in each of S equal intervals: random ones, or the middles without a generator."""
    edges = uniform_edges(near, far, samples)
    if generator is None:
        position = torch.full_like(edges[:, 1:], 0.5)
    else:
        position = torch.rand(edges[:, 1:].shape, generator=generator, device=near.device).to(near)
    return edges[:, :-1] + (edges[:, 1:] - edges[:, :-1]) * position


def invert_cdf(edges: Tensor, weights: Tensor, quantiles: Tensor) -> Tensor:
    """Depths at which the piecewise-uniform density ``weights`` over ``edges`` reaches ``quantiles``.

    Args:
        edges: [R, M + 1], increasing.
        weights: [R, M], not negative, with a positive sum.
        quantiles: [R, K] in [0, 1].

    Returns:
        [R, K] depths within the edges.
    """
    cdf = torch.cumsum(weights, -1)
    cdf = cdf / cdf[:, -1:].clamp_min(1e-12)
    cdf = torch.cat([torch.zeros_like(cdf[:, :1]), cdf], -1)
    above = torch.searchsorted(cdf, quantiles.contiguous(), right=True).clamp(1, cdf.shape[1] - 1)
    cdf_low, cdf_high = cdf.gather(1, above - 1), cdf.gather(1, above)
    low, high = edges.gather(1, above - 1), edges.gather(1, above)
    fraction = (quantiles - cdf_low) / (cdf_high - cdf_low).clamp_min(1e-12)
    return low + (high - low) * fraction.clamp(0.0, 1.0)


UNIFORM_WEIGHT = 0.15  # of uniform sampling over occupied space, beside the grid's weights, whose sum is 1


def sample_counts(opacity: Tensor, samples: int, full_samples_opacity: float) -> Tensor:
    """Numbers of samples of rays in a rendered image: fewer where the grid's opacity is low.

    Args:
        opacity: [R], from the sampling grid; NaN gets all samples.
        samples: of a ray whose opacity is ``full_samples_opacity`` or more; a transparent ray gets a quarter of them.
        full_samples_opacity: in (0, 1].

    Returns:
        [R] int.
    """
    count = (samples * (opacity / full_samples_opacity)).nan_to_num().long() + 1
    return torch.where(opacity < full_samples_opacity, count.clamp((samples + 3) // 4, samples), samples)


def adaptive_quantiles(counts: Tensor, samples: int) -> Tensor:
    """[R, S + 1] quantiles of the edges of ``counts`` [R] intervals, at most S; the last one is repeated."""
    number = torch.minimum(torch.arange(samples + 1, device=counts.device), counts[:, None])
    return (number + 0.5) / (counts[:, None] + 1)


def quantile_grid(rays: int, count: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """[R, K] quantiles, one in each of K equal parts of [0, 1]: random ones, or the middles without a generator."""
    base = torch.arange(count, device=device, dtype=torch.float32)
    if generator is None:
        shift = torch.full((rays, count), 0.5, device=device)
    else:
        shift = torch.rand((rays, count), generator=generator, device=device)
    return (base + shift) / count


def grid_lookup(sampling: Tensor, low: Tensor, high: Tensor, positions: Tensor) -> Tensor:
    """Sampling density [...] of the cells that hold positions [..., 3]; zero outside the box.

    Args:
        sampling: [D, H, W] over the box from ``low`` [3] to ``high`` [3].
    """
    depth, height, width = sampling.shape
    unit = (positions - low) / (high - low)
    sizes = (width, height, depth)
    x, y, z = ((unit[..., axis] * n).long().clamp(0, n - 1) for axis, n in enumerate(sizes))
    inside = ((unit >= 0) & (unit < 1)).all(-1)
    return sampling.view(-1)[(z * height + y) * width + x] * inside


def march(
    sampling: Tensor,
    low: Tensor,
    high: Tensor,
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    samples: int,
    coarse: int = 48,
    generator: torch.Generator | None = None,
    every: bool = False,
    uniform_weight: float = UNIFORM_WEIGHT,
    full_samples_opacity: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Sampling intervals by the weights that a grid of densities gives along each ray (a coarse volume rendering).

    Args:
        sampling: [D, H, W] densities over the box from ``low`` [3] to ``high`` [3].
        origins, directions, near, far: rays, see ``jean.kernels.occupancy.OccupancyGrid.intervals``.
        samples: S intervals per ray.
        coarse: grid lookups per ray.
        generator: jitter; None: the middles.
        every: edges for all rays; see ``OccupancyGrid.intervals``.
        uniform_weight: of uniform sampling over occupied space, beside the grid's weights, whose sum is 1.
        full_samples_opacity: rays of a lower opacity get fewer intervals (``sample_counts``); 0: none do.

    Returns:
        hit [R] bool and edges [H, S + 1] of the rays that hit, or [R, S + 1] with ``every``.
    """
    edges = uniform_edges(near, far, coarse)
    middles = (edges[:, 1:] + edges[:, :-1]) / 2
    density = grid_lookup(sampling, low, high, origins[:, None] + directions[:, None] * middles[..., None])
    hit = density.amax(-1) > 0
    if not every:
        density, edges = density[hit], edges[hit]
    optical = density * (edges[:, 1:] - edges[:, :-1])
    weights = torch.exp(-torch.cumsum(optical, -1) + optical) * (1.0 - torch.exp(-optical))
    # uniform sampling over occupied cells: a surface behind another one (an open mouth behind the lips) stays sampled
    occupied = (density > 0).float()
    weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-9)
    weights = weights + uniform_weight * occupied / occupied.sum(-1, keepdim=True).clamp_min(1)
    if full_samples_opacity:
        opacity = 1.0 - torch.exp(-optical.sum(-1))
        quantiles = adaptive_quantiles(sample_counts(opacity, samples, full_samples_opacity), samples)
    else:
        quantiles = quantile_grid(len(edges), samples + 1, generator, edges.device)
    inner = invert_cdf(edges, weights, quantiles)
    return hit, torch.where(hit[:, None], inner, far.detach()[:, None]) if every else inner


def composite(density: Tensor, channels: Tensor, depths: Tensor, intervals: Tensor) -> Composite:
    """Emission and absorption along rays (section 3.3, the integral of C(r)).

    Args:
        density: [R, S], not negative, per unit of length.
        channels: [R, S, C].
        depths: [R, S], increasing.
        intervals: [R, S], length of the interval of each sample.
    """
    optical = density * intervals
    transmittance = torch.exp(-torch.cumsum(optical, -1) + optical)
    weights = transmittance * (1.0 - torch.exp(-optical))
    return Composite(
        channels=(weights[..., None] * channels).sum(1),
        opacity=weights.sum(1),
        depth=(weights * depths).sum(1),
        weights=weights,
    )


def scatter(traced: Composite, hit: Tensor) -> Composite:
    """Expands a composite of the rays ``hit`` [R] bool to all rays; the others get zeros."""

    def full(values: Tensor) -> Tensor:
        out = values.new_zeros(len(hit), *values.shape[1:])
        return out.index_put((hit.nonzero()[:, 0],), values)

    return Composite(full(traced.channels), full(traced.opacity), full(traced.depth), full(traced.weights))


def over(front: Tensor, opacity: Tensor, back: Tensor) -> Tensor:
    """Alpha compositing of premultiplied ``front`` [R, C] with ``opacity`` [R] over ``back`` [R, C]."""
    return front + (1.0 - opacity)[:, None] * back
