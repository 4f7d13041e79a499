"""The density grid: how it follows a field, and what it holds for a whole video."""

from __future__ import annotations

import torch

from jean.render.grid import DensityGrid, absorbed, absorbing

BOX = ((0.0, 0.0, 0.0), (4.0, 3.0, 2.0))


def test_an_update_looks_into_each_cell_once():
    """Two values for one cell would leave to chance, with several threads, which of them stays."""
    grid, seen = DensityGrid(BOX), []

    def field(positions: torch.Tensor) -> torch.Tensor:
        seen.append(((positions - grid.low) / 0.5).long())
        return torch.ones(len(positions))

    grid.update(field, 1.0, 0.5, torch.Generator().manual_seed(0))
    assert len(seen[0]) == grid.density.numel() == len(seen[0].unique(dim=0))
    assert len(grid.density.unique()) == 1


def test_a_cell_that_is_a_wall_in_one_frame_of_ten_takes_a_tenth_of_the_light():
    """A mean of densities would make it a wall in all frames, and nothing behind it would be sampled."""
    grid, generator = DensityGrid(BOX), torch.Generator().manual_seed(0)
    for frame in range(200):
        grid.update(lambda p, wall=frame % 10 == 0: p.new_full((len(p),), 300.0 * wall), 1.0, 0.98, generator)
    light = torch.exp(-grid.density * grid.side)
    assert light.min() > 0.85 and light.max() < 0.95


def test_a_wall_that_always_stands_stays_one():
    grid, generator = DensityGrid(BOX), torch.Generator().manual_seed(0)
    for _ in range(50):
        grid.update(lambda p: p.new_full((len(p),), 400.0), 1.0, 0.9, generator)
    assert grid.density.isfinite().all() and (torch.exp(-grid.density * grid.side) < 0.01).all()


def test_light_taken_and_density_are_each_others_inverse():
    density = torch.tensor([0.0, 0.01, 0.5, 3.0, 12.0])
    assert torch.allclose(absorbing(absorbed(density, 0.5), 0.5), density, rtol=1e-4, atol=1e-6)


def test_what_a_grid_holds_reaches_to_the_neighbours_of_filled_cells_and_no_further():
    grid = DensityGrid(BOX)
    filled, density = torch.zeros_like(grid.density, dtype=torch.bool), torch.zeros_like(grid.density)
    filled[1, 2, 3] = True  # once, under one condition: its mean is nothing
    grid.hold(density, filled)
    held = grid.sampling > 0
    assert held.sum() == 27 and held[0:3, 1:4, 2:5].all()
    density[1, 2, 3] = 5.0
    grid.hold(density, filled)
    assert torch.equal(grid.sampling > 0, held) and grid.sampling.max() > 0.05
