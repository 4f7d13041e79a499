"""Batches of drawn pixels, from images on disk or in GPU memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jean.drivers.person_frames import open_person
from jean.train.nerf.batch import RayBatches, TrainingImages
from jean.train.nerf.torso_prior import torso_behind_head
from tests.helpers.tiny_clip import make_clip, rewrite

SHARES = (0.2, 0.1, 0.3, 0.2, 0.2)
CPU = torch.device("cpu")
PARTS = (("frames", 3), ("matte", 2))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two clips in which every pixel has a different colour."""
    root = tmp_path_factory.mktemp("clips")
    folders = [make_clip(root / name, frames=count, size=24) for name, count in (("a", 12), ("b", 15))]
    random = np.random.default_rng(0)
    for folder in folders:
        for name in ("frames.u8", "matte.u8"):
            size = (folder / name).stat().st_size
            random.integers(0, 256, size, np.uint8).tofile(folder / name)
        rewrite(folder)
    return open_person(folders)


def resident(data):
    """TrainingImages as on a GPU: one tensor with the images of all clips."""
    images = TrainingImages(data, torch.device("meta"), free_bytes=1 << 40)
    assert images.resident and len(images.parts) == 1 and images.parts[0][0].is_meta
    images.device = images.home = CPU
    flat = [(np.concatenate([getattr(c, name).reshape(-1, n) for c in data.clips])) for name, n in PARTS]
    images.parts = [tuple(map(torch.from_numpy, flat))]
    images.clip_of = torch.from_numpy(data.clip_of)
    images.plates = torch.from_numpy(np.concatenate([c.background.reshape(-1, 3) for c in data.clips]))
    torsos = [torso_behind_head(c.frames, c.matte).reshape(-1, 5) for c in data.clips]
    images.torsos = torch.from_numpy(np.concatenate(torsos))
    return images


@pytest.mark.parametrize("place", ["mapped", "resident"])
def test_drawn_pixels_are_those_of_their_frames(data, place):
    images = TrainingImages(data, CPU) if place == "mapped" else resident(data)
    batches = RayBatches(data, 300, 7, SHARES, CPU, images)
    batch = batches.draw(torch.Generator().manual_seed(0))
    assert len(batch.pixels) == 300 and set(batch.frames.tolist()) <= set(data.train.tolist())
    assert set(data.clip_of[batch.frames]) == {0, 1} and batch.frame.bincount().tolist() == [43] * 6 + [42]
    assert (
        (batch.pixels > 0).all()
        and (batch.pixels < 24).all()
        and torch.equal(batch.pixels % 1, torch.full((300, 2), 0.5))
    )
    x, y = (batch.pixels - 0.5).long().T.numpy()
    for ray, index in enumerate(batch.frames[batch.frame].tolist()):
        assert np.array_equal((batch.rgb[ray] * 255).round(), data.image(index)[y[ray], x[ray]])
        assert np.array_equal((batch.matte[ray] * 255).round(), data.matte(index)[y[ray], x[ray]])
        assert np.array_equal((batch.plate[ray] * 255).round(), data.plate(index)[y[ray], x[ray]])
        clip = data.clips[data.clip_of[index]]
        torso = torso_behind_head(clip.frames, clip.matte)[y[ray], x[ray]]
        assert np.array_equal((batch.torso[ray] * 255).round(), torso)


def test_a_seed_draws_the_same_pixels_on_every_storage(data):
    drawn = [
        RayBatches(data, 64, 4, SHARES, CPU, images).draw(torch.Generator().manual_seed(3))
        for images in (TrainingImages(data, CPU), resident(data))
    ]
    for name in ("frames", "pixels", "rgb", "matte", "plate", "torso"):
        assert torch.equal(getattr(drawn[0], name), getattr(drawn[1], name))


def test_pixels_are_distributed_over_regions_by_fraction(data):
    random = torch.Generator().manual_seed(0)
    for region in range(5):
        shares = [float(region == other) for other in range(5)]
        batch = RayBatches(data, 200, 5, shares, CPU).draw(random)
        boxes = torch.from_numpy(data.boxes[batch.frames[batch.frame].numpy(), region])
        assert (batch.pixels >= boxes[:, :2].floor()).all() and (batch.pixels <= boxes[:, 2:].ceil()).all()
    anywhere = RayBatches(data, 4000, 5, (0, 0, 0, 0, 1), CPU).draw(random).pixels
    assert torch.allclose(anywhere.mean(0), torch.full((2,), 12.0), atol=0.5)
    assert anywhere.amin() == 0.5 and anywhere.amax() == 23.5
    mixed = RayBatches(data, 4000, 5, (1, 0, 0, 0, 1), CPU).draw(random)
    boxes = torch.from_numpy(data.boxes[mixed.frames[mixed.frame].numpy(), 0])
    inside = ((mixed.pixels >= boxes[:, :2]) & (mixed.pixels <= boxes[:, 2:])).all(1).float().mean()
    area = ((boxes[:, 2:] - boxes[:, :2]).prod(1) / 24**2).mean()
    assert abs(inside - (0.5 + 0.5 * area)) < 0.08


def test_images_stay_on_disk_if_gpu_memory_is_short(data):
    wanted = 27 * 24**2 * 5
    card = torch.device("cuda:0")
    tight = TrainingImages(data, card, free_bytes=2 * wanted - 1)
    assert (
        not tight.resident and tight.home == CPU and "read from disk" in tight.line and "more than half" in tight.line
    )
    assert len(tight.parts) == 2 and np.shares_memory(tight.parts[1][0].numpy(), data.clips[1].frames)  # not copied
    roomy = TrainingImages(data, torch.device("meta"), free_bytes=2 * wanted)
    assert roomy.resident and "on meta" in roomy.line
