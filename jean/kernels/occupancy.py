"""The occupancy grid: which cells of the volume are empty, and where rays place their samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from jean.kernels import reference
from jean.kernels.backend import REFERENCE, Backend
from jean.kernels.ops.rays import march, march_every
from jean.kernels.reference import UNIFORM_WEIGHT

# Densities are computed from alphas up to here; an alpha of 1 would need an infinite density.
MAX_ALPHA = 0.999


class OccupancyGrid(nn.Module):
    """Running means of a field's density and alpha over the conditions of a clip.

    Samples are placed by the mean alpha. A mean of densities would be dominated by its largest value: a cell that the
    lips occupy in one frame of ten would look opaque in all frames, and every sample of an open mouth would lie on
    closed lips. The mean density remembers such cells, so it decides, dilated by one cell, which cells are empty.

    Args:
        box: (low, high) corners of the volume, head space, cm.
        cell: side of a cell, cm.

    Attributes:
        density: [D, H, W] mean density, per cm.
        taken: [D, H, W] mean alpha along one side of a cell, in [0, 1]. The name is that of checkpoints.
        possible: [D, H, W] bool, cells that may be occupied at any time.
        sampling: [D, H, W] densities by which rays place samples; 0 in empty cells.
    """

    low: Tensor
    high: Tensor
    density: Tensor
    taken: Tensor
    possible: Tensor
    sampling: Tensor

    empty_below = 0.02  # density per cm of an empty cell: alpha of 2 % along a cm

    def __init__(self, box: tuple[tuple[float, float, float], tuple[float, float, float]], cell: float = 0.5):
        super().__init__()
        low, high = torch.tensor(box[0]), torch.tensor(box[1])
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        width, height, depth = (round(float(extent) / cell) for extent in high - low)
        self.side = cell
        self.register_buffer("density", torch.zeros(depth, height, width))
        self.register_buffer("taken", torch.zeros(depth, height, width))
        self.register_buffer("possible", torch.ones(depth, height, width, dtype=torch.bool))
        self.register_buffer("sampling", torch.zeros(depth, height, width))
        self._cells: tuple[int, Tensor] | None = None  # see ``_possible_cells``

    def cell_centres(self) -> Tensor:
        """[D, H, W, 3] positions of the cells' centres, cm."""
        shape = self.density.shape
        axes = [(torch.arange(n, device=self.low.device) + 0.5) / n for n in (shape[2], shape[1], shape[0])]
        z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
        return self.low + torch.stack([x, y, z], -1) * (self.high - self.low)

    def start(self, density: Tensor, possible: Tensor) -> None:
        """Sets the initial densities and the cells that may be occupied.

        Args:
            density: [D, H, W], per cm.
            possible: [D, H, W] bool.
        """
        self.possible.copy_(possible)
        self.density.copy_(torch.where(possible, density, torch.zeros_like(density)))
        self.taken.copy_(alpha_of(self.density, self.side))
        self._refresh()

    def set_static(self, mean_alpha: Tensor, occupied: Tensor) -> None:
        """Sets the grid of a trained field, which is not updated any more.

        Rays then place samples in occupied cells and their neighbours, by the mean alpha.

        Args:
            mean_alpha: [D, H, W] in [0, 1].
            occupied: [D, H, W] bool, cells that are occupied under any condition.
        """
        self.taken.copy_(mean_alpha)
        near = functional.max_pool3d(occupied[None, None].float(), 3, 1, 1)[0, 0] > 0
        self._set_sampling(near, self.empty_below / 10)

    @torch.no_grad()
    def update(
        self, field: Callable[[Tensor], Tensor], fraction: float, decay: float, generator: torch.Generator
    ) -> None:
        """Moves a random fraction of the possible cells towards the field's density.

        Args:
            field: density [N], per cm, at positions [N, 3], cm.
            fraction: of the possible cells, in (0, 1].
            decay: weight of the old value, in [0, 1).
            generator: draws cells and positions within them.
        """
        cells = self._possible_cells()
        count, device = max(1, int(len(cells) * fraction)), cells.device
        # no cell twice: with several threads the value that stays would depend on chance
        drawn = cells[torch.randperm(len(cells), generator=generator, device=device)[:count]]
        depth, height, width = self.density.shape
        offset = torch.rand((count, 3), generator=generator, device=device)
        index = (drawn % width, drawn // width % height, drawn // (width * height))
        unit = [
            (first + within) / n
            for first, within, n in zip(index, offset.unbind(-1), (width, height, depth), strict=True)
        ]
        density = field(self.low + torch.stack(unit, -1) * (self.high - self.low))
        for mean, value in ((self.density, density), (self.taken, alpha_of(density, self.side))):
            flat = mean.view(-1)
            flat[drawn] = flat[drawn] * decay + value * (1.0 - decay)
        self._refresh()

    def _possible_cells(self) -> Tensor:
        """[N] indices of the possible cells. They are cached, since ``nonzero`` waits for a GPU."""
        cache = self._cells
        if cache is None or cache[0] != self.possible._version or cache[1].device != self.possible.device:
            self._cells = cache = (self.possible._version, self.possible.view(-1).nonzero()[:, 0])
        return cache[1]

    def _refresh(self) -> None:
        dilated = functional.max_pool3d(self.density[None, None], 3, 1, 1)[0, 0]
        self._set_sampling(dilated > self.empty_below, self.empty_below)
        self.sampling.mul_(self.possible)

    def _set_sampling(self, near: Tensor, minimum: float) -> None:
        """Sets sampling densities in cells ``near`` [D, H, W] (bool): of the blurred mean alpha, plus ``minimum``."""
        blurred = functional.avg_pool3d(self.taken[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
        self.sampling.copy_(torch.where(near, density_of(blurred, self.side) + minimum, 0.0))

    def intervals(
        self,
        origins: Tensor,
        directions: Tensor,
        near: Tensor,
        far: Tensor,
        samples: int,
        coarse: int = 48,
        generator: torch.Generator | None = None,
        backend: Backend = REFERENCE,
        every: bool = False,
        uniform_weight: float = UNIFORM_WEIGHT,
        full_samples_opacity: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """Sampling intervals of rays, by the weights that the grid's densities give along each ray.

        Args:
            origins: [R, 3], cm.
            directions: [R, 3], of length 1.
            near: [R], where rays enter the box, cm.
            far: [R], where they leave it.
            samples: S intervals per ray.
            coarse: grid lookups per ray.
            generator: jitter for training; None: the same intervals every time.
            backend: see ``jean.kernels.backend``. Torch computes intervals with gradients, which poses need.
            every: returns edges for all rays, so that no shape depends on data and a GPU need not be awaited. All
                edges of a ray that misses are ``far``, so its intervals have length 0.
            uniform_weight: weight of uniform sampling over occupied space, beside the grid's weights, whose sum is 1.
            full_samples_opacity: rays whose opacity in the grid is lower get fewer intervals
                (``jean.kernels.reference.sample_counts``), and their last edge is repeated. For rendering only: not
                together with ``generator`` or ``every``.

        Returns:
            hit [R] bool (rays that meet occupied cells) and edges [H, S + 1] of those H rays, or [R, S + 1].

        Raises:
            ValueError: ``full_samples_opacity`` together with ``generator`` or ``every``.
        """
        if full_samples_opacity and (every or generator is not None):
            raise ValueError("only rays of a rendered image have fewer samples")
        differentiable = torch.is_grad_enabled() and (origins.requires_grad or directions.requires_grad)
        box = (self.sampling, self.low, self.high)
        if not differentiable and backend.uses_kernels("march", self.sampling):
            if every:
                hit, edges = march_every(*box, origins, directions, samples, coarse, generator, uniform_weight)
                return hit, torch.where(hit[:, None], edges, far.detach()[:, None])
            weights = (uniform_weight, full_samples_opacity)
            return march(*box, origins, directions, samples, coarse, generator, *weights)
        return reference.march(
            *box,
            origins,
            directions,
            near,
            far,
            samples,
            coarse,
            generator,
            every,
            uniform_weight,
            full_samples_opacity,
        )


def alpha_of(density: Tensor, side: float) -> Tensor:
    """Alpha, in [0, 1], of cells of ``density`` (per cm) along one ``side`` (cm)."""
    return -torch.expm1(-density * side)


def density_of(alpha: Tensor, side: float) -> Tensor:
    """The inverse of ``alpha_of``: the density that gives ``alpha``, at most that of ``MAX_ALPHA``."""
    return -torch.log1p(-alpha.clamp_max(MAX_ALPHA)) / side
