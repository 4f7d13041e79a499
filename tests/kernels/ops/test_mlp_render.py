"""Rendering of the paper's field: in bf16, and with empty space skipped."""

from __future__ import annotations

import pytest
import torch

from jean.errors import UsageError
from jean.kernels import library
from jean.kernels.backend import Backend
from jean.kernels.occupancy import OccupancyGrid
from jean.kernels.ops.mlp import mlp_values, render_mlp_rays_fused
from jean.kernels.reference import box_interval, composite
from jean.models.head import paper as head_paper
from jean.models.head.base import HeadArguments
from jean.models.head.mlp import MlpField
from jean.models.head.paper import PaperHead
from tests.helpers.kernel_paths import bf16_path as bf16_path
from tests.helpers.kernel_paths import path as path

BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))


def smooth(field: MlpField) -> MlpField:
    """A field without the upper octaves, with density at a third of the positions around the centre."""
    for index in (0, field.skip + 1):
        field.layers[index].weight.data[:, 3 + 6 * 2 : 63] = 0
    field.density.weight.data *= 300
    field.density.bias.data.fill_(100.0)
    places = (torch.rand(2000, 3) - 0.5) * 20
    with torch.no_grad():
        found = field(places, torch.ones(1, 9), torch.ones(1, 3), torch.zeros(2000, dtype=torch.long))[0]
        field.density.bias -= found.quantile(0.66)
    return field.requires_grad_(False)


def rays(count: int):
    torch.manual_seed(1)
    origins = torch.tensor([0.0, 0.0, -60.0]).expand(count, 3) + torch.randn(count, 3)
    directions = torch.randn(count, 3) * 7 - origins
    return origins, directions / directions.norm(dim=-1, keepdim=True)


def half_by_torch(field: MlpField, positions, condition, direction):
    """The same roundings in torch: all factors of products but those of the heads are bf16."""
    spec = field.kernel_spec(condition, direction)

    def rounded(x):
        return x.bfloat16().float()

    from jean.models.encoding import encode

    encoded = rounded(encode((positions - field.middle) / field.reach, 10))
    hidden, exact, density = encoded, encoded, encoded
    for index, (weight, bias) in enumerate(zip(spec.weights, spec.biases, strict=True)):
        if index == spec.join:
            hidden = torch.cat([encoded, hidden], -1)
        exact = torch.relu(torch.nn.functional.linear(hidden, rounded(weight), bias))
        hidden = rounded(exact)
        if index == spec.trunk - 1:
            density = torch.relu(torch.nn.functional.linear(exact, *spec.ends[:2])[:, 0])
    return density, torch.sigmoid(torch.nn.functional.linear(exact, *spec.ends[2:]))


@pytest.mark.parametrize("samples", [0, 1, 31, 32, 33, 3000])
def test_bf16_rounds_factors_and_nothing_else(samples, bf16_path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS_BF16", bf16_path)
    torch.manual_seed(0)
    field = smooth(MlpField(9, BOX))
    positions = (torch.rand(samples, 3) - 0.5) * 20
    condition, direction, frame = torch.ones(1, 9), torch.ones(1, 3), torch.zeros(samples, dtype=torch.long)
    density, rgb = mlp_values(positions, frame, field.kernel_spec(condition, direction), precision="bf16")
    expected = half_by_torch(field, positions, condition, direction)
    full = field(positions, condition, direction, frame)
    assert density.shape == (samples,) and rgb.shape == (samples, 3)
    seen = density > 0
    for got, same, exact in ((density, expected[0], full[0]), (rgb[seen], expected[1][seen], full[1][seen])):
        if len(got) > 100:
            # sums in another order round to another bf16 number here and there
            off, cost = (got - same).square().mean().sqrt(), (same - exact).square().mean().sqrt()
            assert 0 < off < 0.5 * cost
            assert cost < 0.02 * exact.square().mean().sqrt()


def test_bf16_keeps_nan(bf16_path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS_BF16", bf16_path)
    field = smooth(MlpField(9, BOX))
    positions = torch.zeros(40, 3)
    positions[7] = torch.nan
    frame = torch.zeros(40, dtype=torch.long)
    density, rgb = mlp_values(positions, frame, field.kernel_spec(torch.ones(1, 9), torch.ones(1, 3)), precision="bf16")
    assert density[7].isnan() and rgb[7].isnan().all()
    assert not density[torch.arange(40) != 7].isnan().any()


def test_bf16_without_support_is_an_error(monkeypatch):
    head = PaperHead(HeadArguments((4, 5, 0), BOX, []))
    with pytest.raises(UsageError, match="compiled kernels"):
        head.use(Backend.resolve("reference", "cpu", "bf16"))
    monkeypatch.setattr(library, "bf16_targets", list)
    with pytest.raises(UsageError, match="no bf16"):
        head.use(Backend.resolve("auto", "cpu", "bf16"))
    assert head.backend.precision == "fp32"


@pytest.fixture(scope="module")
def scene():
    """A field of one frame and its occupancy grid."""
    torch.manual_seed(0)
    field, grid = smooth(MlpField(9, BOX)), OccupancyGrid(BOX)
    centres = grid.cell_centres().view(-1, 3)
    density, _ = field(centres, torch.ones(1, 9), torch.ones(1, 3), torch.zeros(len(centres), dtype=torch.long))
    shape = grid.density.shape
    grid.start(density.view(shape), torch.ones(shape, dtype=torch.bool))
    return field, grid


@pytest.mark.parametrize("count", [0, 1, 257, 600])
def test_rendered_rays_equal_torch_on_the_same_samples(count, scene, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    field, grid = scene
    origins, directions = rays(count)
    spec = field.kernel_spec(torch.ones(1, 9), torch.ones(1, 3))
    got = render_mlp_rays_fused(
        spec, grid.sampling, grid.low, grid.high, origins, directions, 12, 64, min_transmittance=0.0
    )
    near, far = box_interval(origins, directions, grid.low, grid.high)
    hit, edges = grid.intervals(origins, directions, near, far, 12, 64)
    depths, lengths = (edges[:, 1:] + edges[:, :-1]) / 2, edges[:, 1:] - edges[:, :-1]
    places = origins[hit][:, None] + directions[hit][:, None] * depths[..., None]
    frame = torch.zeros(places.shape[0] * 12, dtype=torch.long)
    density, rgb = field(places.view(-1, 3), torch.ones(1, 9), torch.ones(1, 3), frame)
    seen = composite(density.view_as(depths), rgb.view(*depths.shape, 3), depths, lengths)
    assert got.channels.shape == (count, 3) and (got.opacity[~hit] == 0).all()
    if count > 100:
        assert 0.05 < seen.opacity.mean() < 0.99 and 0.3 < hit.float().mean() <= 1
    # a lookup at a cell's border may fall to either side
    assert ((got.channels[hit] - seen.channels).abs() > 1e-3).sum() <= 0.02 * got.channels.numel()
    assert ((got.depth[hit] - seen.depth).abs() > 0.1).sum() <= 0.02 * count


def test_a_ray_ends_at_the_minimum_transmittance(scene, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    field, grid = scene
    spec, lines = field.kernel_spec(torch.ones(1, 9), torch.ones(1, 3)), rays(500)
    whole, short = (
        render_mlp_rays_fused(spec, grid.sampling, grid.low, grid.high, *lines, 16, 64, min_transmittance=e)
        for e in (0.0, 0.5)
    )
    off = (whole.channels - short.channels).abs()
    assert 0 < off.max() <= 0.5 and ((whole.opacity - short.opacity) >= 0).all()


def test_skipping_empty_space_keeps_the_image(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    monkeypatch.setattr(head_paper, "CELL_CM", 1.0)
    torch.manual_seed(0)
    head = PaperHead(HeadArguments((4, 5, 0), BOX, []))
    field = smooth(head.fine)
    head.coarse.load_state_dict(field.state_dict())
    head.use(Backend.resolve("native", "cpu"))
    origins, directions = rays(400)
    inputs = (torch.ones(1, 9), torch.ones(1, 3), torch.zeros(400, dtype=torch.long), None)
    with torch.no_grad():
        exact = head.trace(origins, directions, *inputs)[-1]
        head.skip_empty(torch.ones(6, 9))
        head.few_samples = 48
        quick = head.trace(origins, directions, *inputs)[-1]
    error = (exact.channels - quick.channels).square().mean()
    assert 0 < error < 1e-4  # 40 dB
    assert 0.05 < exact.opacity.mean() < 0.99


def test_any_number_of_threads_renders_the_same_bits(scene, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    before, results = torch.get_num_threads(), []
    field, grid = scene
    spec, lines = field.kernel_spec(torch.ones(1, 9), torch.ones(1, 3)), rays(1500)
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(render_mlp_rays_fused(spec, grid.sampling, grid.low, grid.high, *lines, 8, 64))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0].channels, other.channels) for other in results[1:])


def test_nan_rays_miss(scene):
    field, grid = scene
    origins, directions = rays(5)
    spec = field.kernel_spec(torch.ones(1, 9), torch.ones(1, 3))
    got = render_mlp_rays_fused(spec, grid.sampling, grid.low, grid.high, origins, directions * torch.nan, 8, 64)
    assert (got.channels == 0).all() and (got.opacity == 0).all()
