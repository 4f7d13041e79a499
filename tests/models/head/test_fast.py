"""Rays that meet the head, and those that do not."""

from __future__ import annotations

import pytest
import torch

from jean.kernels import occupancy
from jean.kernels.backend import Backend
from jean.kernels.reference import quantile_grid
from jean.models.head.base import HeadArguments
from jean.models.head.fast import FastHead

BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_rays_that_meet_nothing_change_nothing(backend, monkeypatch):
    """Values and gradients with every ray, as on a card, and with those that meet anything."""
    monkeypatch.setattr(occupancy, "quantile_grid", lambda rays, count, generator, device: middles(rays, count, device))
    monkeypatch.setattr(
        "jean.kernels.ops.rays.quantile_grid", lambda n, count, generator, device: middles(n, count, device)
    )
    torch.manual_seed(0)
    shape = torch.randn(68, 3) * torch.tensor([5.0, 6.0, 1.0]) - torch.tensor([0.0, 0.0, 5.0])
    head = FastHead(HeadArguments((6, 16, 0), BOX, shape.tolist()))
    head.use(Backend.resolve(backend, "cpu"))
    centres = head.occupancy.cell_centres()
    head.initialise(centres.norm(dim=-1) < 9)
    origins = torch.tensor([0.0, 0.0, -60.0]).expand(300, 3)
    directions = torch.nn.functional.normalize(torch.randn(300, 3) * 7 - origins, dim=-1)
    condition, view, frame = torch.randn(2, 22), torch.zeros(2, 3), torch.arange(300) % 2
    results = []
    for every in (False, True):
        head.every_ray = every
        head.zero_grad()
        (made,) = head.trace(origins, directions, condition, view, frame, torch.Generator().manual_seed(0))
        (made.channels.sum() + made.depth.square().mean()).backward()
        gradients = {name: p.grad.clone() for name, p in head.named_parameters() if p.grad is not None}
        results.append(({"channels": made.channels, "opacity": made.opacity, "depth": made.depth}, gradients))
    assert 30 < (results[0][0]["opacity"] == 0).sum() < 270
    for few, all_rays in zip(*results, strict=True):
        assert few.keys() == all_rays.keys()
        for name, value in few.items():
            # sums over more samples are made in another order
            assert torch.allclose(value, all_rays[name], atol=1e-5 + 1e-5 * float(value.detach().abs().max())), name


def middles(rays, count, device):
    return quantile_grid(rays, count, None, device)
