"""Kernels for compositing and for placing samples against the readable renderer."""

from __future__ import annotations

import pytest
import torch

from jean.kernels import reference as ref
from jean.kernels.occupancy import OccupancyGrid
from jean.kernels.ops import rays as ray_ops
from tests.helpers.kernel_paths import path as path

BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))


def draw(rays: int, samples: int, channels: int, dtype=torch.float32, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)

    def make(*shape):
        return torch.rand(*shape, generator=generator, dtype=dtype)

    return (
        make(rays, samples) * 3,
        make(rays, samples, channels),
        torch.cumsum(make(rays, samples), 1),
        make(rays, samples),
    )


def parts(made):
    return made.channels, made.opacity, made.depth, made.weights


@pytest.mark.parametrize("shape", [(0, 4, 3), (1, 1, 1), (5, 1, 3), (700, 10, 3), (64, 191, 7)])
def test_composites_equal_the_reference_with_gradients(shape, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    results = []
    for function in (ref.composite, ray_ops.composite):
        inputs = [t.requires_grad_() for t in draw(*shape)]
        made = parts(function(*inputs))
        sum(
            (part * torch.linspace(-1, 2, max(part.numel(), 1))[: part.numel()].view(part.shape)).sum() for part in made
        ).backward()
        results.append([*(part.detach() for part in made), *(t.grad for t in inputs)])
    for expected, got in zip(*results, strict=True):
        assert torch.allclose(got, expected, rtol=1e-4, atol=2e-5)


def test_composite_gradients_in_double_precision():
    inputs = [t.requires_grad_() for t in draw(3, 4, 2, torch.float64)]
    assert torch.autograd.gradcheck(lambda *a: parts(ray_ops.composite(*a)), inputs)


def test_gradients_of_a_single_output():
    inputs = [t.requires_grad_() for t in draw(6, 5, 3)]
    ray_ops.composite(*inputs).depth.sum().backward()
    alone = [t.grad.clone() for t in inputs]
    for t in inputs:
        t.grad = None
    ref.composite(*inputs).depth.sum().backward()
    assert all(torch.allclose(a, t.grad, atol=1e-5) for a, t in zip(alone, inputs, strict=True) if t.grad is not None)


def test_the_operator_passes_opcheck():
    arguments = (*(t.requires_grad_() for t in draw(4, 6, 3)), 0)
    assert set(torch.library.opcheck(torch.ops.jean.composite.default, arguments).values()) == {"SUCCESS"}


def test_empty_and_opaque_rays(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    depths, intervals = torch.tensor([[1.0, 2.0]] * 3), torch.ones(3, 2)
    density = torch.tensor([[0.0, 0.0], [1e6, 5.0], [torch.nan, 0.0]])
    out = ray_ops.composite(density, torch.ones(3, 2, 3), depths, intervals)
    assert out.opacity[:2].tolist() == [0.0, 1.0] and out.depth[:2].tolist() == [0.0, 1.0]
    assert out.opacity[2].isnan()


def rays(count: int):
    torch.manual_seed(0)
    origins = torch.tensor([0.0, 0.0, -60.0]).expand(count, 3) + torch.randn(count, 3)
    directions = torch.randn(count, 3) * 8 - origins
    return origins, directions / directions.norm(dim=-1, keepdim=True)


def ball(hole: float = 0.05) -> OccupancyGrid:
    grid = OccupancyGrid(BOX)
    centres = grid.cell_centres()
    torch.manual_seed(1)
    grid.start(torch.exp(4 - centres.norm(dim=-1)), torch.rand(centres.shape[:-1]) > hole)
    return grid


@pytest.mark.parametrize("seed", [None, 3])
def test_samples_lie_where_the_reference_places_them(seed, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    grid, (origins, directions) = ball(), rays(3000)
    near, far = ref.box_interval(origins, directions, grid.low, grid.high)
    found = []
    for backend in ("reference", "native"):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        found.append(grid.intervals(origins, directions, near, far, 10, generator=generator, backend=backend))
    (hit, edges), (native_hit, native_edges) = found
    # a lookup within rounding of a cell's border may fall to its other side
    assert (hit != native_hit).sum() <= 2 and 0.2 < hit.float().mean() < 0.95
    both = hit & native_hit
    difference = (edges[both[hit]] - native_edges[both[native_hit]]).abs().amax(-1)
    assert (difference < 1e-3).float().mean() > 0.998


@pytest.mark.parametrize("kind", ["empty", "missed", "none", "nan"])
def test_rays_that_miss_have_no_edges(kind, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    grid, (origins, directions) = ball(), rays(10)
    if kind == "empty":
        grid.sampling.zero_()
    elif kind == "missed":
        origins = origins + 500
    elif kind == "none":
        origins, directions = origins[:0], directions[:0]
    else:
        directions = directions * torch.nan
    hit, edges = ray_ops.march(grid.sampling, grid.low, grid.high, origins, directions, 10, 48, None)
    assert not hit.any() and edges.shape == (0, 11)


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_every_ray_has_intervals_and_those_that_hit_the_same_ones(backend, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    grid, (origins, directions) = ball(), rays(500)
    origins[:3] += 500  # outside of the box, too
    near, far = ref.box_interval(origins, directions, grid.low, grid.high)
    hit, edges = grid.intervals(origins, directions, near, far, 10, backend=backend)
    found, every = grid.intervals(origins, directions, near, far, 10, backend=backend, every=True)
    assert torch.equal(hit, found) and 0.2 < hit.float().mean() < 0.95
    assert every.shape == (500, 11) and torch.equal(every[hit], edges)
    assert torch.equal(every[~hit], far[~hit][:, None].expand(-1, 11))


def test_gradients_of_every_ray_equal_those_of_the_rays_that_hit():
    grid, (origins, directions) = ball(), rays(200)
    gradients = []
    for every in (False, True):
        moved = origins.clone().requires_grad_()
        near, far = ref.box_interval(moved, directions, grid.low, grid.high)
        hit, edges = grid.intervals(moved, directions, near, far, 10, every=every)
        (edges[hit] if every else edges).square().sum().backward()
        gradients.append(moved.grad)
    assert gradients[0].isfinite().all() and torch.equal(*gradients)


def test_march_every_passes_opcheck():
    grid, (origins, directions) = ball(), rays(20)
    quantiles = ref.quantile_grid(20, 11, None, origins.device)
    arguments = (grid.sampling, origins, directions, quantiles, [*BOX[0], *BOX[1]], 10, 48, ref.UNIFORM_WEIGHT)
    assert set(torch.library.opcheck(torch.ops.jean.march_every.default, arguments).values()) == {"SUCCESS"}


def test_torch_computes_gradients_of_poses():
    grid, (origins, directions) = ball(), rays(50)
    origins.requires_grad_()
    near, far = ref.box_interval(origins, directions, grid.low, grid.high)
    _, edges = grid.intervals(origins, directions, near, far, 10, backend="native")
    edges.sum().backward()
    assert origins.grad.abs().sum() > 0
