"""Rays of low opacity get fewer samples in rendering: the rule, its kernels, and training without it."""

from __future__ import annotations

import pytest
import torch

from jean.kernels.arguments import RenderCall
from jean.kernels.backend import Backend
from jean.kernels.cuda.launch import launch_rays, launch_render
from jean.kernels.dispatch import render_rays_fused
from jean.kernels.occupancy import OccupancyGrid
from jean.kernels.ops import rays as ray_ops
from jean.kernels.ops.mlp import render_mlp_rays_fused
from jean.kernels.reference import adaptive_quantiles, box_interval, quantile_grid, sample_counts
from jean.models.head.base import HeadArguments
from jean.models.head.paper import PaperHead
from tests.helpers.cuda_emulator import emulator as emulator
from tests.helpers.kernel_paths import path as path
from tests.kernels.cuda.test_picture import CLOSE, vivid
from tests.kernels.cuda.test_picture import problem as gpu_problem
from tests.kernels.ops.test_mlp_render import scene as scene
from tests.kernels.ops.test_render import head, rays

BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))


def test_sample_counts_by_hand():
    told = torch.tensor([0.0, 0.1, 0.25, 0.3, 0.49, 0.5, 1.0, torch.nan])
    assert sample_counts(told, 10, 0.5).tolist() == [3, 3, 6, 7, 10, 10, 10, 10]
    assert sample_counts(told, 13, 0.5).tolist() == [4, 4, 7, 8, 13, 13, 13, 13]
    assert sample_counts(told, 1, 0.5).tolist() == [1] * 8
    # none is thin without a threshold; all are below an opacity that there is not
    assert sample_counts(told[:-1], 8, 1e-9).tolist() == [2, *[8] * 6]
    assert sample_counts(told[:-1], 8, 4.0).tolist() == [2, 2, 2, 2, 2, 2, 3]


def test_quantiles_of_fewer_edges_repeat_the_last():
    made = adaptive_quantiles(torch.tensor([1, 2, 3]), 3)
    expected = [[1 / 4, 3 / 4, 3 / 4, 3 / 4], [1 / 6, 3 / 6, 5 / 6, 5 / 6], [1 / 8, 3 / 8, 5 / 8, 7 / 8]]
    torch.testing.assert_close(made, torch.tensor(expected))
    assert torch.equal(adaptive_quantiles(torch.tensor([10]), 10), quantile_grid(1, 11, None, torch.device("cpu")))


def mist() -> OccupancyGrid:
    """A grid with rays of all opacities."""
    grid = OccupancyGrid(BOX)
    centres = grid.cell_centres()
    torch.manual_seed(1)
    grid.start(torch.exp(1 - 0.5 * centres.norm(dim=-1)), torch.rand(centres.shape[:-1]) > 0.05)
    return grid


def check_edges(samples: int, full_samples_opacity: float, march) -> None:
    grid, (origins, directions) = mist(), rays(2000)
    near, far = box_interval(origins, directions, grid.low, grid.high)
    hit, edges = grid.intervals(origins, directions, near, far, samples, full_samples_opacity=full_samples_opacity)
    found, got = march(
        grid.sampling,
        grid.low,
        grid.high,
        origins,
        directions,
        samples,
        48,
        None,
        full_samples_opacity=full_samples_opacity,
    )
    own = (edges[:, 1:] > edges[:, :-1]).sum(-1)
    assert own.min() == (samples + 3) // 4
    assert samples == 1 or (own < samples).float().mean() > 0.3
    # within rounding of a cell's border, or of a step of the count, a ray may fall to the other side
    both = hit & found
    assert (hit != found).sum() <= 2 and both.sum() > 1000
    off = (edges[both[hit]] - got[both[found]]).abs().amax(-1)
    assert (off < 1e-3).float().mean() > 0.997
    # the end is told by edges that are equal to the last bit
    assert ((got[:, 1:] > got[:, :-1]).sum(-1)[both[found]] == own[both[hit]]).float().mean() > 0.997


@pytest.mark.parametrize("full_samples_opacity", [1.0, 2.0])
@pytest.mark.parametrize("samples", [1, 2, 10, 13])
def test_fewer_edges_are_where_the_reference_puts_them(samples, full_samples_opacity, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    check_edges(samples, full_samples_opacity, ray_ops.march)


def test_fewer_edges_on_a_gpu(emulator, monkeypatch):
    def run(name, count, target, device, *given):
        launch_rays(name, count, device, *given, launcher=emulator)

    monkeypatch.setattr(ray_ops, "_run", run)
    check_edges(13, 1.0, ray_ops.march)


def test_training_uses_all_samples(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    grid, (origins, directions) = mist(), rays(300)
    made = [
        ray_ops.march(
            grid.sampling,
            grid.low,
            grid.high,
            origins,
            directions,
            10,
            48,
            torch.Generator().manual_seed(0),
            full_samples_opacity=t,
        )[1]
        for t in (0.0, 0.9)
    ]
    assert torch.equal(*made)
    near, far = box_interval(origins, directions, grid.low, grid.high)
    for given in ({"generator": torch.Generator()}, {"every": True}):
        with pytest.raises(ValueError, match="rendered image"):
            grid.intervals(origins, directions, near, far, 10, full_samples_opacity=0.5, **given)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_a_head_in_training_uses_all_samples(backend, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    made, shown = misty(), {}
    made.use(Backend.resolve(backend, "cpu"))
    origins, directions = rays(200)
    inputs = (torch.ones(1, 16), torch.ones(1, 3), torch.zeros(200, dtype=torch.long))
    for full_samples_opacity in (0.0, 0.9):
        made.full_samples_opacity = full_samples_opacity
        jitter = torch.Generator().manual_seed(0)
        with torch.no_grad():
            still = made.trace(origins, directions, *inputs, None)[-1].channels
        trained = made.trace(origins, directions, *inputs, jitter)[-1].channels
        shown[full_samples_opacity] = (still, trained.detach())
    assert torch.equal(shown[0.0][1], shown[0.9][1])
    assert not torch.allclose(shown[0.0][0], shown[0.9][0], atol=1e-4)


def misty():
    """The head of ops/test_render.py where a third of the rays is thin."""
    made = head()
    made.occupancy.sampling *= 0.05
    return made


@torch.no_grad()
def by_torch(made, condition, view, bend, count: int):
    made.use(Backend.resolve("reference", "cpu"))
    origins, directions = rays(count)
    return made.trace(origins, directions, condition, view, torch.zeros(count, dtype=torch.long), None, bend)[-1]


@pytest.mark.parametrize("samples", [1, 9, 10])
@pytest.mark.parametrize("full_samples_opacity", [0.5, 2.0])
def test_rendered_thin_rays_equal_the_reference(full_samples_opacity, samples, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    made = misty()
    made.full_samples_opacity, made.samples = full_samples_opacity, samples
    condition, view = torch.ones(1, 16), torch.ones(1, 3)
    want, grid = by_torch(made, condition, view, None, 600), made.occupancy
    with torch.no_grad():
        frame = made.field.frame_field(condition, view, None)
    got = render_rays_fused(
        frame, grid.sampling, grid.low, grid.high, *rays(600), samples, full_samples_opacity=full_samples_opacity
    )
    for name, limit in (("channels", 5e-4), ("opacity", 5e-4), ("depth", 0.04)):
        # a lookup at a cell's border may fall to either side
        assert ((getattr(got, name) - getattr(want, name)).abs() > limit).sum() <= 6, name
    assert 0.05 < want.opacity.mean() < 1


def test_rendered_thin_rays_on_a_gpu(emulator):
    made, given = vivid(), gpu_problem(150)
    made.occupancy.sampling *= 0.05
    made.full_samples_opacity = 0.7
    want = by_torch(made, *given[2:], 150)
    frame, grid = made.field.frame_field(*given[2:]), made.occupancy
    call = RenderCall(
        frame, grid.sampling, grid.low, grid.high, *given[:2], made.samples, 48, made.full_samples_opacity
    )
    launch_render(call, emulator)
    got = call.result()
    for name in ("channels", "opacity"):
        error = (getattr(got, name) - getattr(want, name)).abs()
        assert (error > CLOSE[emulator.half]).sum() <= 3 and error.mean() < CLOSE[emulator.half] / 10, name


def test_a_thin_ray_through_a_nan_field_is_nan(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    made = misty()
    made.full_samples_opacity = 2.0
    made.field.second.bias.data[3] = torch.nan
    want = by_torch(made, torch.ones(1, 16), torch.ones(1, 3), None, 100)
    made.use(Backend.resolve("native", "cpu"))
    got = made.trace(*rays(100), torch.ones(1, 16), torch.ones(1, 3), torch.zeros(100, dtype=torch.long), None)[-1]
    assert torch.equal(got.channels.isnan(), want.channels.isnan()) and got.channels.isnan().any()


@pytest.fixture(scope="module")
def paper(scene) -> PaperHead:
    made = PaperHead(HeadArguments((4, 5, 0), BOX, []))
    made.fine, made.occupancy = scene
    made.occupancy.sampling *= 0.02
    made.use(Backend.resolve("reference", "cpu"))
    return made


@torch.no_grad()
@pytest.mark.parametrize(("samples", "full_samples_opacity"), [(1, 2.0), (12, 0.0), (12, 0.9), (13, 2.0)])
def test_few_samples_of_the_papers_field_equal_torch(samples, full_samples_opacity, paper, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    made, infer, looks = paper, paper.fine.infer, []
    monkeypatch.setattr(made.fine, "infer", lambda at, *rest: (looks.append(len(at)), infer(at, *rest))[1])
    monkeypatch.setattr(made, "few_samples", samples)
    monkeypatch.setattr(made, "full_samples_opacity", full_samples_opacity)
    condition, view = torch.ones(1, 9), torch.ones(1, 3)
    want = made.trace_few(*rays(600), condition, view)
    spec, grid = made.fine.kernel_spec(condition, view), made.occupancy
    got = render_mlp_rays_fused(
        spec,
        grid.sampling,
        grid.low,
        grid.high,
        *rays(600),
        samples,
        96,
        min_transmittance=0.0,
        uniform_weight=made.uniform_weight,
        full_samples_opacity=full_samples_opacity,
    )
    for name, limit in (("channels", 1e-3), ("opacity", 1e-3), ("depth", 0.1)):
        assert ((getattr(got, name) - getattr(want, name)).abs() > limit).sum() <= 12, name
    near, far = box_interval(*rays(600), grid.low, grid.high)
    hit, _ = grid.intervals(*rays(600), near, far, samples, 96)
    every = int(hit.sum()) * samples
    assert looks[0] < 0.8 * every if full_samples_opacity > 0 and samples > 1 else looks[0] == every
    assert 0.02 < want.opacity.mean() < 0.99
