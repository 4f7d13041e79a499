"""Fused rendering of rays against the head in readable torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jean.kernels.backend import Backend
from jean.models.head.base import HeadArguments
from jean.models.head.fast import FastHead
from tests.helpers.kernel_paths import path as path

BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))


def head(empty: float = 0.3) -> FastHead:
    """A head with random planes; a fraction of its grid's cells is empty."""
    torch.manual_seed(0)
    shape = (np.random.default_rng(0).random((68, 3)) * [8, 12, 2] + [-4, -6, -6]).tolist()
    made = FastHead(HeadArguments((6, 6, 4), BOX, shape))
    for plane in (*made.field.static, *made.field.moving, made.field.shading):
        plane.table.data.normal_(0, 0.4)
    made.field.density.weight.data *= 4
    cells = made.occupancy.cell_centres().shape[:-1]
    made.initialise(torch.rand(cells) > empty)
    return made.eval()


def rays(count: int):
    torch.manual_seed(1)
    origins = torch.tensor([0.0, 0.0, -60.0]).expand(count, 3) + torch.randn(count, 3)
    directions = torch.randn(count, 3) * 7 - origins
    return origins, directions / directions.norm(dim=-1, keepdim=True)


@torch.no_grad()
def seen(made: FastHead, backend: str, count: int, bent: bool = True):
    made.use(Backend.resolve(backend, "cpu"))
    origins, directions = rays(count)
    generator = torch.Generator().manual_seed(2)
    condition, view = torch.randn(1, 16, generator=generator), torch.randn(1, 3, generator=generator)
    bend = torch.randn(1, 64 * 64, 2, generator=generator) * 0.2 if bent else None
    frame = torch.zeros(count, dtype=torch.long)
    return made.trace(origins, directions, condition, view, frame, None, bend)[-1]


@pytest.mark.parametrize("bent", [True, False])
@pytest.mark.parametrize("count", [1, 63, 1000])
def test_rendered_rays_equal_the_reference(count, bent, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    made = head()
    expected, got = seen(made, "reference", count, bent), seen(made, "native", count, bent)
    assert got.weights.shape == (count, 0)
    for name in ("channels", "opacity"):
        # a ray ends when 2e-4 of its light is left; a lookup at a cell's border may fall to either side
        error = (getattr(got, name) - getattr(expected, name)).abs()
        assert (error > 5e-4).sum() <= 0.01 * count, name
    depth = (got.depth - expected.depth).abs()
    assert (depth > 5e-4 * 80).sum() <= 0.01 * count
    assert 0.1 < expected.opacity.mean() <= 1 or count == 1


def test_a_change_of_weights_changes_the_image(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    made = head()
    before = seen(made, "native", 200)
    for change in (made.field.static[1].table.data, made.field.first.weight.data, made.field.relief):
        change.mul_(1.5)
        after = seen(made, "native", 200)
        assert not torch.allclose(after.channels, before.channels, atol=1e-4)
        assert (after.channels - seen(made, "reference", 200).channels).abs().median() < 1e-4
        before = after


@pytest.mark.parametrize("kind", ["none", "empty", "missed", "nan"])
def test_rays_that_miss_stay_zero(kind, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    made = head(empty=1.1 if kind == "empty" else 0.3)
    made.use(Backend.resolve("native", "cpu"))
    origins, directions = rays(0 if kind == "none" else 70)
    origins = origins + (500 if kind == "missed" else 0)
    directions = directions * (torch.nan if kind == "nan" else 1)
    with torch.no_grad():
        frame = torch.zeros(len(origins), dtype=torch.long)
        out = made.trace(origins, directions, torch.zeros(1, 16), torch.zeros(1, 3), frame, None)[-1]
    assert out.channels.shape == (len(origins), 3) and (out.channels == 0).all() and (out.opacity == 0).all()


def test_any_number_of_threads_gives_the_same_bits(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    before, made, results = torch.get_num_threads(), head(), []
    made.use(Backend.resolve("native", "cpu"))
    frame = made.field.frame_field(torch.ones(1, 16), torch.ones(1, 3), None)
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            from jean.kernels.dispatch import render_rays_fused

            grid = made.occupancy
            results.append(render_rays_fused(frame, grid.sampling, grid.low, grid.high, *rays(3000), 10))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0].channels, other.channels) for other in results[1:])
