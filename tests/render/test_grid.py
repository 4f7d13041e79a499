"""The density grid: how it follows a field, and what it holds for a whole video."""

from __future__ import annotations

import torch

from jean.render.grid import DensityGrid

BOX = ((0.0, 0.0, 0.0), (4.0, 3.0, 2.0))


def test_an_update_looks_into_each_cell_once():
    """Two values for one cell would leave to chance, with several threads, which of them stays."""
    grid, seen = DensityGrid(BOX), []

    def field(positions: torch.Tensor) -> torch.Tensor:
        seen.append(((positions - grid.low) / 0.5).long())
        return torch.ones(len(positions))

    grid.update(field, 1.0, 0.5, torch.Generator().manual_seed(0))
    assert len(seen[0]) == grid.density.numel() == len(seen[0].unique(dim=0))
    assert torch.equal(grid.density, torch.full_like(grid.density, 0.5))


def test_what_a_grid_holds_reaches_to_the_neighbours_of_filled_cells_and_no_further():
    grid = DensityGrid(BOX)
    filled, density = torch.zeros_like(grid.density, dtype=torch.bool), torch.zeros_like(grid.density)
    filled[1, 2, 3] = True  # once, under one condition: its mean is nothing
    grid.hold(density, filled)
    held = grid.sampling > 0
    assert held.sum() == 27 and held[0:3, 1:4, 2:5].all()
    density[1, 2, 3] = 5.0
    grid.hold(density, filled)
    assert torch.equal(grid.sampling > 0, held) and grid.sampling.max() > 5.0 / 27
