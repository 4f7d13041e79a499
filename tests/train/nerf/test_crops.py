"""Crops of training frames, and the weights of their pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jean.drivers.person_frames import open_person
from jean.train.nerf.crops import CropBatches
from tests.helpers.tiny_clip import make_clip, rewrite

CPU = torch.device("cpu")
SHARES = (0.2, 0.1, 0.3, 0.2, 0.2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A clip in which every pixel has a different colour."""
    folder = make_clip(tmp_path_factory.mktemp("clips") / "a", frames=12, size=24)
    random = np.random.default_rng(0)
    for name in ("frames.u8", "matte.u8"):
        random.integers(0, 256, (folder / name).stat().st_size, np.uint8).tofile(folder / name)
    rewrite(folder)
    return open_person([folder])


def test_crops_are_squares_of_their_frames(data):
    batches = CropBatches(data, 350, 3, SHARES, CPU)  # 116 pixels a crop: 10 by 10
    batch = batches.draw(torch.Generator().manual_seed(0))
    assert batch.crop_px == (10, 10) and batch.pixels.shape == (300, 2) and len(batch.frames) == 3
    for crop, index in enumerate(batch.frames.tolist()):
        own = slice(100 * crop, 100 * crop + 100)
        assert (batch.frame[own] == crop).all()
        x, y = (batch.pixels[own][0] - 0.5).long().tolist()
        assert 0 <= x <= 14 and 0 <= y <= 14
        for name, image in (("rgb", data.image(index)), ("matte", data.matte(index)), ("plate", data.plate(index))):
            got = (getattr(batch, name)[own] * 255).round().view(10, 10, -1).numpy()
            assert np.array_equal(got, image[y : y + 10, x : x + 10]), name
        assert batch.pixels[own].view(10, 10, 2)[3, 7].tolist() == [x + 7.5, y + 3.5]


def test_a_crop_is_no_larger_than_the_frame(data):
    batch = CropBatches(data, 10_000, 1, SHARES, CPU).draw(torch.Generator().manual_seed(0))
    assert batch.crop_px == (24, 24) and batch.pixels[0].tolist() == [0.5, 0.5]


def test_weights_are_the_frequencies_of_random_pixels(data):
    batches = CropBatches(data, 24 * 24, 1, (0.25, 0, 0, 0, 0.75), CPU)
    batches.boxes[:, 0] = torch.tensor([6.0, 3.5, 18.0, 5.5])  # 12 by 2 px; rows 3 and 5 lie half inside
    weight = batches.draw(torch.Generator().manual_seed(0)).weight.view(24, 24)
    assert weight.mean().item() == pytest.approx(1)
    inside = 0.25 * 24 * 24 / 24
    assert weight[4, 6].item() == pytest.approx(0.75 + inside)
    assert weight[5, 17].item() == pytest.approx(0.75 + inside / 2)
    assert weight[4, 5].item() == weight[6, 6].item() == pytest.approx(0.75)


def test_the_torso_is_computed_where_it_shows_or_has_a_target(data):
    batch = CropBatches(data, 200, 2, SHARES, CPU).draw(torch.Generator().manual_seed(1))
    shows, target = batch.matte[:, 0] < 0.99, batch.torso[:, 4] > 0
    assert torch.equal(batch.torso_pixels(), shows | target) and shows.any()
