"""A coarse grid of densities: where rays need samples at all, and where the most of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from jean.kernels import reference
from jean.kernels.backend import Backend, use_native
from jean.kernels.ops.rays import march, march_every
from jean.kernels.reference import SPREAD

MOST_ABSORBED = 0.999  # a cell that takes more is as good as a wall, and its density need not be infinite


class DensityGrid(nn.Module):
    """Where a field over a box has matter, averaged over the clip's conditions.

    Two averages. That of the light which a cell takes (``absorbed``) says where samples go. That of the
    densities is the largest's: a cell that lips fill in one frame of ten would be a wall in all, and
    every sample of an open mouth would lie on closed lips. But it does not forget such a cell, and so
    it says, dilated, which cells are empty.

    Args:
        box: (low, high) corners, head space, cm.
        cell: side of a cell, cm.

    Attributes:
        density, taken: [D, H, W], the two averages: density per cm; share of the light along a cell's side.
        possible: [D, H, W] bool, cells that may ever be filled.
        sampling: [D, H, W], what rays look up: the density by which samples are placed, 0 in empty cells.
    """

    low: Tensor
    high: Tensor
    density: Tensor
    taken: Tensor
    possible: Tensor
    sampling: Tensor

    empty_below = 0.02  # density per cm under which a cell holds nothing (2 % absorbed over a cm)

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
        """[D, H, W, 3] positions of the cells' centres."""
        shape = self.density.shape
        axes = [(torch.arange(n, device=self.low.device) + 0.5) / n for n in (shape[2], shape[1], shape[0])]
        z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
        return self.low + torch.stack([x, y, z], -1) * (self.high - self.low)

    def start(self, density: Tensor, possible: Tensor) -> None:
        """Sets the first guess [D, H, W] and the cells that may ever be filled [D, H, W] bool."""
        self.possible.copy_(possible)
        self.density.copy_(torch.where(possible, density, torch.zeros_like(density)))
        self.taken.copy_(absorbed(self.density, self.side))
        self._refresh()

    def hold(self, taken: Tensor, filled: Tensor) -> None:
        """Sets what light cells take [D, H, W], and which of them [D, H, W] bool hold anything at any time.

        Samples then go to filled cells and their neighbours, by the light.
        """
        self.taken.copy_(taken)
        near = functional.max_pool3d(filled[None, None].float(), 3, 1, 1)[0, 0] > 0
        self._sample(near, self.empty_below / 10)

    @torch.no_grad()
    def update(self, field: Callable[[Tensor], Tensor], share: float, decay: float, generator: torch.Generator) -> None:
        """Moves a random ``share`` of the possible cells towards the field's density.

        Args:
            field: density [N] at positions [N, 3].
            share: part of the cells to visit.
            decay: weight of the old value.
            generator: picks cells and places in them.
        """
        cells = self._possible_cells()
        count, device = max(1, int(len(cells) * share)), cells.device
        # no cell twice: which of two values stays would be left to chance where several threads write
        chosen = cells[torch.randperm(len(cells), generator=generator, device=device)[:count]]
        depth, height, width = self.density.shape
        place = torch.rand((count, 3), generator=generator, device=device)
        cell = (chosen % width, chosen // width % height, chosen // (width * height))
        unit = [
            (first + within) / n
            for first, within, n in zip(cell, place.unbind(-1), (width, height, depth), strict=True)
        ]
        positions = self.low + torch.stack(unit, -1) * (self.high - self.low)
        seen = field(positions)
        for average, new in ((self.density, seen), (self.taken, absorbed(seen, self.side))):
            flat = average.view(-1)
            flat[chosen] = flat[chosen] * decay + new * (1.0 - decay)
        self._refresh()

    def _possible_cells(self) -> Tensor:
        """[N] numbers of the possible cells, counted once: a card would have to be waited for."""
        kept = self._cells
        if kept is None or kept[0] != self.possible._version or kept[1].device != self.possible.device:
            self._cells = kept = (self.possible._version, self.possible.view(-1).nonzero()[:, 0])
        return kept[1]

    def _refresh(self) -> None:
        wide = functional.max_pool3d(self.density[None, None], 3, 1, 1)[0, 0]
        self._sample(wide > self.empty_below, self.empty_below)
        self.sampling.mul_(self.possible)

    def _sample(self, near: Tensor, least: float) -> None:
        """Samples go to the cells ``near`` [D, H, W] bool, by the light taken around them and ``least``."""
        around = functional.avg_pool3d(self.taken[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
        self.sampling.copy_(torch.where(near, absorbing(around, self.side) + least, 0.0))

    def lookup(self, positions: Tensor) -> Tensor:
        """Sampling density [...] at positions [..., 3]; zero in empty space and outside the box."""
        return reference.grid_lookup(self.sampling, self.low, self.high, positions)

    def intervals(
        self,
        origins: Tensor,
        directions: Tensor,
        near: Tensor,
        far: Tensor,
        samples: int,
        coarse: int = 48,
        generator: torch.Generator | None = None,
        backend: str | Backend = "reference",
        every: bool = False,
        spread: float = SPREAD,
        thick: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """Sampling intervals that follow the grid's weights.

        Args:
            origins: [R, 3]; directions: [R, 3]; near, far: [R].
            samples: S intervals a ray.
            coarse: grid lookups a ray.
            generator: jitter for training; None for the same intervals every time.
            backend: see ``jean.kernels.backend``; gradients, which poses need, always go by torch.
            every: edges for every ray, those of length 0 for a ray that meets nothing, so that shapes do not
                depend on what is met, which a card would have to be waited for.
            spread: weight of all that is not empty alike, beside the grid's weights, whose sum is 1.
            thick: rays that the grid tells to be less opaque get fewer intervals (``samples_of``) and repeat
                their last edge behind them; for pictures, which know neither ``generator`` nor ``every``.

        Returns:
            hit [R] bool (rays that meet anything) and edges [H, S + 1] for those H rays only, or [R, S + 1].
        """
        if thick and (every or generator is not None):
            raise ValueError("only a picture's rays have fewer samples")
        followed = torch.is_grad_enabled() and (origins.requires_grad or directions.requires_grad)
        native = (
            backend.uses_kernels("march", self.sampling)
            if isinstance(backend, Backend)
            else use_native(backend, self.sampling, "march")
        )
        if native and not followed:
            box = (self.sampling, self.low, self.high)
            if every:
                hit, made = march_every(*box, origins, directions, samples, coarse, generator, spread)
                return hit, torch.where(hit[:, None], made, far.detach()[:, None])
            return march(*box, origins, directions, samples, coarse, generator, spread, thick)
        return reference.march(
            self.sampling, self.low, self.high, origins, directions, near, far, samples, coarse, generator, every,
            spread, thick,
        )  # fmt: skip


def absorbed(density: Tensor, side: float) -> Tensor:
    """[0, 1]: the share of light that cells of ``density`` (per cm) take along one ``side`` (cm)."""
    return -torch.expm1(-density * side)


def absorbing(share: Tensor, side: float) -> Tensor:
    """The inverse of ``absorbed``: the density that takes ``share``, or ``MOST_ABSORBED`` where that is less."""
    return -torch.log1p(-share.clamp_max(MOST_ABSORBED)) / side
