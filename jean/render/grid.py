"""A coarse grid of densities: where rays need samples at all, and where the most of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from jean.render.ops import use_native
from jean.render.ray_ops import march
from jean.render.reference import invert_cdf, quantile_grid, uniform_edges


class DensityGrid(nn.Module):
    """Running densities of a field over a box, averaged over the clip's conditions.

    The average, not the maximum, shapes the sampling: inside an open mouth the maximum would put
    every sample on the closed lips. Emptiness is decided after dilation, so that what moves is kept.

    Args:
        box: (low, high) corners, head space, cm.
        cell: side of a cell, cm.
    """

    low: Tensor
    high: Tensor
    density: Tensor
    possible: Tensor
    sampling: Tensor

    empty_below = 0.02  # density per cm under which a cell holds nothing (2 % absorbed over a cm)

    def __init__(self, box: tuple[tuple[float, float, float], tuple[float, float, float]], cell: float = 0.5):
        super().__init__()
        low, high = torch.tensor(box[0]), torch.tensor(box[1])
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        width, height, depth = (round(float(extent) / cell) for extent in high - low)
        self.register_buffer("density", torch.zeros(depth, height, width))
        self.register_buffer("possible", torch.ones(depth, height, width, dtype=torch.bool))
        self.register_buffer("sampling", torch.zeros(depth, height, width))

    def cell_centres(self) -> Tensor:
        """[D, H, W, 3] positions of the cells' centres."""
        shape = self.density.shape
        axes = [(torch.arange(n, device=self.low.device) + 0.5) / n for n in (shape[2], shape[1], shape[0])]
        z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
        return self.low + torch.stack([x, y, z], -1) * (self.high - self.low)

    def start(self, density: Tensor, possible: Tensor) -> None:
        """Sets the first guess [D, H, W] and the cells that may ever be filled [D, H, W] bool."""
        self.possible.copy_(possible)
        self.density.copy_(torch.where(possible, density, torch.zeros_like(density)))
        self._refresh()

    @torch.no_grad()
    def update(self, field: Callable[[Tensor], Tensor], share: float, decay: float, generator: torch.Generator) -> None:
        """Moves a random ``share`` of the possible cells towards the field's density.

        Args:
            field: density [N] at positions [N, 3].
            share: part of the cells to visit.
            decay: weight of the old value.
            generator: picks cells and places in them.
        """
        cells = self.possible.view(-1).nonzero()[:, 0]
        drawn = torch.randint(
            len(cells), (max(1, int(len(cells) * share)),), generator=generator, device=generator.device
        )
        chosen = cells[drawn.to(cells.device)]
        depth, height, width = self.density.shape
        index = torch.stack([chosen % width, chosen // width % height, chosen // (width * height)], -1)
        place = index + torch.rand(index.shape, generator=generator, device=generator.device).to(index.device)
        positions = self.low + place / place.new_tensor([width, height, depth]) * (self.high - self.low)
        flat = self.density.view(-1)
        flat[chosen] = flat[chosen] * decay + field(positions) * (1.0 - decay)
        self._refresh()

    def _refresh(self) -> None:
        grid = self.density[None, None]
        wide = functional.max_pool3d(grid, 3, 1, 1)
        smooth = functional.avg_pool3d(grid, 3, 1, 1, count_include_pad=False)
        smooth = torch.where(wide > self.empty_below, smooth + self.empty_below, torch.zeros_like(smooth))
        self.sampling.copy_(smooth[0, 0] * self.possible)

    def lookup(self, positions: Tensor) -> Tensor:
        """Sampling density [...] at positions [..., 3]; zero in empty space and outside the box."""
        depth, height, width = self.density.shape
        unit = (positions - self.low) / (self.high - self.low)
        cell = (unit * unit.new_tensor([width, height, depth])).long()
        x = cell[..., 0].clamp(0, width - 1)
        y = cell[..., 1].clamp(0, height - 1)
        z = cell[..., 2].clamp(0, depth - 1)
        inside = ((unit >= 0) & (unit < 1)).all(-1)
        return self.sampling.view(-1)[(z * height + y) * width + x] * inside

    def intervals(
        self,
        origins: Tensor,
        directions: Tensor,
        near: Tensor,
        far: Tensor,
        samples: int,
        coarse: int = 48,
        generator: torch.Generator | None = None,
        backend: str = "reference",
    ):
        """Sampling intervals that follow the grid's weights.

        Args:
            origins: [R, 3]; directions: [R, 3]; near, far: [R].
            samples: S intervals a ray.
            coarse: grid lookups a ray.
            generator: jitter for training; None for the same intervals every time.
            backend: see ``jean.render.ops.use_native``; gradients, which poses need, always go by torch.

        Returns:
            hit [R] bool (rays that meet anything) and edges [H, S + 1] for those H rays only.
        """
        followed = torch.is_grad_enabled() and (origins.requires_grad or directions.requires_grad)
        if use_native(backend, self.sampling, "march") and not followed:
            return march(self.sampling, self.low, self.high, origins, directions, samples, coarse, generator)
        edges = uniform_edges(near, far, coarse)
        middles = (edges[:, 1:] + edges[:, :-1]) / 2
        density = self.lookup(origins[:, None] + directions[:, None] * middles[..., None])
        hit = density.amax(-1) > 0
        density, edges = density[hit], edges[hit]
        optical = density * (edges[:, 1:] - edges[:, :-1])
        weights = torch.exp(-torch.cumsum(optical, -1) + optical) * (1.0 - torch.exp(-optical))
        # a tenth of the samples spread over all that is not empty: surfaces behind surfaces (an open
        # mouth behind its lips) keep being looked at
        filled = (density > 0).float()
        weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-9)
        weights = weights + 0.15 * filled / filled.sum(-1, keepdim=True)
        quantiles = quantile_grid(len(edges), samples + 1, generator, edges.device)
        return hit, invert_cdf(edges, weights, quantiles)
