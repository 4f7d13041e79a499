"""The occupancy grid: updates during training, and the static grid of a trained field."""

from __future__ import annotations

import torch

from jean.kernels.occupancy import OccupancyGrid, alpha_of, density_of

BOX = ((0.0, 0.0, 0.0), (4.0, 3.0, 2.0))


def test_an_update_evaluates_each_cell_once():
    """With two values for one cell, several threads would leave the result to chance."""
    grid, seen = OccupancyGrid(BOX), []

    def field(positions: torch.Tensor) -> torch.Tensor:
        seen.append(((positions - grid.low) / 0.5).long())
        return torch.ones(len(positions))

    grid.update(field, 1.0, 0.5, torch.Generator().manual_seed(0))
    assert len(seen[0]) == grid.density.numel() == len(seen[0].unique(dim=0))
    assert len(grid.density.unique()) == 1


def walls(grid: OccupancyGrid, every: int, looks: int, decay: float) -> None:
    """A grid updated with a field that is opaque in one update of ``every``."""
    generator = torch.Generator().manual_seed(0)
    for look in range(looks):
        grid.update(lambda p, wall=look % every == 0: p.new_full((len(p),), 300.0 * wall), 1.0, decay, generator)


def test_a_cell_opaque_in_one_frame_of_ten_has_a_mean_alpha_of_a_tenth():
    """A mean of densities would make it opaque in all frames, and nothing behind it would be sampled."""
    grid = OccupancyGrid(BOX)
    walls(grid, 10, 200, 0.98)
    light = torch.exp(-grid.sampling * grid.side)
    assert light.min() > 0.85 and light.max() < 0.95


def test_a_cell_opaque_in_one_frame_of_fifty_is_not_empty():
    """Its mean alpha is close to zero, but an empty cell would cut off a wide open jaw."""
    grid = OccupancyGrid(BOX)
    walls(grid, 50, 99, 0.9)  # the last wall is 48 looks ago
    assert (grid.taken < 0.01).all() and (grid.sampling > 0).all()


def test_a_cell_opaque_in_all_frames_stays_opaque():
    grid = OccupancyGrid(BOX)
    walls(grid, 1, 100, 0.9)
    assert grid.sampling.isfinite().all() and (torch.exp(-grid.sampling * grid.side) < 0.01).all()


def test_alpha_and_density_are_inverse():
    density = torch.tensor([0.0, 0.01, 0.5, 3.0, 12.0])
    assert torch.allclose(density_of(alpha_of(density, 0.5), 0.5), density, rtol=1e-4, atol=1e-6)


def test_a_static_grid_samples_occupied_cells_and_their_neighbours_only():
    grid = OccupancyGrid(BOX)
    filled, taken = torch.zeros_like(grid.density, dtype=torch.bool), torch.zeros_like(grid.density)
    filled[1, 2, 3] = True  # once, under one condition: the light that it takes is nothing
    grid.set_static(taken, filled)
    held = grid.sampling > 0
    assert held.sum() == 27 and held[0:3, 1:4, 2:5].all()
    taken[1, 2, 3] = 0.9
    grid.set_static(taken, filled)
    assert torch.equal(grid.sampling > 0, held) and grid.sampling.max() > density_of(torch.tensor(0.9 / 27), 0.5)
