"""The fast head with and without rays that miss the occupied cells."""

from __future__ import annotations

import pytest
import torch

from jean.kernels import reference
from jean.kernels.backend import Backend
from jean.kernels.reference import quantile_grid
from jean.models.head.base import HeadArguments
from jean.models.head.fast import FastHead

BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_rays_that_miss_the_head_change_neither_values_nor_gradients(backend, monkeypatch):
    """Compares tracing every ray, as on a GPU, with tracing only the rays that hit occupied cells."""
    monkeypatch.setattr(reference, "quantile_grid", lambda rays, count, generator, device: middles(rays, count, device))
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
    for every_ray in (False, True):
        head.every_ray = every_ray
        head.zero_grad()
        (composite,) = head.trace(origins, directions, condition, view, frame, torch.Generator().manual_seed(0))
        (composite.channels.sum() + composite.depth.square().mean()).backward()
        gradients = {name: p.grad.clone() for name, p in head.named_parameters() if p.grad is not None}
        values = {"channels": composite.channels, "opacity": composite.opacity, "depth": composite.depth}
        results.append((values, gradients))
    assert 30 < (results[0][0]["opacity"] == 0).sum() < 270
    for few, all_rays in zip(*results, strict=True):
        assert few.keys() == all_rays.keys()
        for name, value in few.items():
            # sums over more samples are added in another order
            assert torch.allclose(value, all_rays[name], atol=1e-5 + 1e-5 * float(value.detach().abs().max())), name


def middles(rays, count, device):
    return quantile_grid(rays, count, None, device)
