"""The prior on the sides of the head: slices are ellipses as wide as the visual hull."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jean.drivers.person_frames import open_person
from jean.train.nerf.config import NerfConfig
from jean.train.nerf.head_sides import BACK_CM, FRONT_CM, MIDDLE_CM, HeadSides
from jean.train.nerf.presets import resolve
from jean.train.nerf.stage import NerfStage
from tests.helpers.tiny_clip import make_clip


def cells():
    """Centres of the cells of a box, [80, 40, 80, 3], cm."""
    x, y, z = (torch.arange(-19.75, 20, 0.5), torch.arange(-9.75, 10, 0.5), torch.arange(-19.75, 20, 0.5))
    return torch.stack(torch.meshgrid(z, y, x, indexing="ij"), -1).flip(-1)


def box_hull(half=8.0):
    """The sides of a hull that is a box: all depths, ``half`` cm to the right and twice that to the left."""
    x = cells()[..., 0]
    return HeadSides((x < half) & (x > -2 * half), cells())


def test_slices_are_ellipses_around_the_middle_of_the_hull():
    sides = box_hull()
    middle = torch.tensor([-4.0, 0.0, MIDDLE_CM])
    inside = torch.tensor([[0.0, 0, 0], [11.5, 0, 0], [-11.5, 0, 0], [0, 0, BACK_CM - 0.1], [0, 0, 0.1 - FRONT_CM]])
    assert sides.outside(middle + inside).max() < 0.1
    beyond = torch.tensor([[13.9, 0, 0], [0, 0, 1.2 * BACK_CM], [10, 0, BACK_CM], [-10, 0, BACK_CM]])
    assert sides.outside(middle + beyond).min() == 1


def test_long_hair_behind_the_neck_widens_its_slice():
    x, z = cells()[..., 0], cells()[..., 2]
    sides = HeadSides((x.abs() < 5) | ((x.abs() < 9) & (z > MIDDLE_CM + 2)), cells())
    assert sides.outside(torch.tensor([[8.0, 0, MIDDLE_CM + 3], [-8.0, 0, MIDDLE_CM + 3]])).max() == 0
    assert sides.outside(torch.tensor([[10.5, 0, MIDDLE_CM + 3]])) == 1


def test_only_density_outside_is_penalised():
    sides = box_hull()
    positions = torch.tensor([[-4.0, 0, MIDDLE_CM], [-4.0, 0, MIDDLE_CM + 2 * BACK_CM]])
    density = torch.tensor([5.0, 0.0])
    assert sides.loss(positions, density) == 0
    # alpha along one centimetre, over two positions
    assert float(sides.loss(positions, density.flip(0))) == pytest.approx((1 - np.exp(-5.0)) / 2)


def test_rows_without_hull_allow_a_thin_slice():
    sides = HeadSides(torch.zeros(cells().shape[:3], dtype=torch.bool), cells())
    positions = torch.tensor([[0.0, 0, MIDDLE_CM], [1.9, 0, MIDDLE_CM], [2.4, 0, MIDDLE_CM]])
    assert sides.outside(positions).tolist() == [0.0, 0.0, 1.0]


def test_drawn_positions_fill_the_volume():
    drawn = box_hull().draw(torch.Generator().manual_seed(0))
    assert torch.allclose(drawn.mean(0), torch.zeros(3), atol=1.0) and (drawn.abs() <= torch.tensor([20, 10, 20])).all()


def test_training_takes_the_prior_unless_the_head_is_the_papers(tmp_path):
    data = open_person([make_clip(tmp_path / "clip")])
    for preset, rays, has in (("gaussian", 64, True), ("fast", 64, True), ("paper", 16, False)):
        config = resolve(NerfConfig(preset=preset, steps=4, rays=rays, frames_per_step=1))
        losses, _ = NerfStage(data, config, torch.device("cpu")).losses(regularise=True)
        assert ("sides" in losses) == has
