"""The density grid: how it follows a field, and what it holds for a whole video."""

from __future__ import annotations

import torch

from jean.kernels.occupancy import DensityGrid, absorbed, absorbing

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


def walls(grid: DensityGrid, every: int, looks: int, decay: float) -> None:
    """A field that is a wall in one look of ``every``."""
    generator = torch.Generator().manual_seed(0)
    for look in range(looks):
        grid.update(lambda p, wall=look % every == 0: p.new_full((len(p),), 300.0 * wall), 1.0, decay, generator)


def test_a_cell_that_is_a_wall_in_one_frame_of_ten_takes_a_tenth_of_the_light():
    """A mean of densities would make it a wall in all frames, and nothing behind it would be sampled."""
    grid = DensityGrid(BOX)
    walls(grid, 10, 200, 0.98)
    light = torch.exp(-grid.sampling * grid.side)
    assert light.min() > 0.85 and light.max() < 0.95


def test_a_cell_that_is_a_wall_in_one_frame_of_fifty_is_not_empty():
    """Light that is taken so rarely is next to none: it would be forgotten, and a wide open jaw cut off."""
    grid = DensityGrid(BOX)
    walls(grid, 50, 99, 0.9)  # the last wall is 48 looks ago
    assert (grid.taken < 0.01).all() and (grid.sampling > 0).all()


def test_a_wall_that_always_stands_stays_one():
    grid = DensityGrid(BOX)
    walls(grid, 1, 100, 0.9)
    assert grid.sampling.isfinite().all() and (torch.exp(-grid.sampling * grid.side) < 0.01).all()


def test_light_taken_and_density_are_each_others_inverse():
    density = torch.tensor([0.0, 0.01, 0.5, 3.0, 12.0])
    assert torch.allclose(absorbing(absorbed(density, 0.5), 0.5), density, rtol=1e-4, atol=1e-6)


def test_what_a_grid_holds_reaches_to_the_neighbours_of_filled_cells_and_no_further():
    grid = DensityGrid(BOX)
    filled, taken = torch.zeros_like(grid.density, dtype=torch.bool), torch.zeros_like(grid.density)
    filled[1, 2, 3] = True  # once, under one condition: the light that it takes is nothing
    grid.hold(taken, filled)
    held = grid.sampling > 0
    assert held.sum() == 27 and held[0:3, 1:4, 2:5].all()
    taken[1, 2, 3] = 0.9
    grid.hold(taken, filled)
    assert torch.equal(grid.sampling > 0, held) and grid.sampling.max() > absorbing(torch.tensor(0.9 / 27), 0.5)
