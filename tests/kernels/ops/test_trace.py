"""The operator for rays through the fast field against field and compositing in readable torch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from jean.kernels import reference
from jean.kernels.backend import Backend
from jean.kernels.ops.trace import FieldOfFrames, trace
from jean.kernels.ops.triplane import PlaneSpec, Prior
from tests.helpers.kernel_paths import path as path
from tests.kernels.ops.test_triplane import make as make_field

FRAMES = 4


def make(rays: int, samples: int = 10, seed: int = 0):
    """A field, and rays of which every third misses."""
    field, ends, condition, direction, _ = make_field(2 * rays, FRAMES, seed=seed)
    origins, targets = ends[:rays], ends[rays:]
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    hit = torch.arange(rays) % 3 != 1
    edges = torch.rand(int(hit.sum()), samples + 1).sort(-1).values * 20
    frame = torch.arange(rays) * FRAMES // max(rays, 1)
    return field, origins, directions, hit, edges, condition, direction, frame


def by_torch(field, origins, directions, hit, edges, condition, direction, frame, bend):
    field.backend = Backend.resolve("reference", "cpu")
    depths, intervals = (edges[:, 1:] + edges[:, :-1]) / 2, edges[:, 1:] - edges[:, :-1]
    positions = origins[hit][:, None] + directions[hit][:, None] * depths[..., None]
    flat = frame[hit][:, None].expand_as(depths).reshape(-1)
    density, rgb = field(positions.reshape(-1, 3), condition, direction, flat, bend)
    made = reference.composite(density.view_as(depths), rgb.view(*depths.shape, 3), depths, intervals)
    return reference.scatter(made, hit)


def by_kernels(field, origins, directions, hit, edges, condition, direction, frame, bend):
    return trace(origins, directions, hit, edges, frame, field.batch_field(condition, direction, bend))


def run(case, way, followed=True, exact=False):
    field, origins, directions, hit, edges, condition, direction, frame = case
    bend = torch.randn(FRAMES, 64 * 64, 2, generator=torch.Generator().manual_seed(5)) * 0.3
    inputs = [origins, directions, edges, condition, direction, bend]
    if exact:
        field, inputs = field.double(), [t.double() for t in inputs]
    *inputs, bend = (t.clone() for t in inputs)
    for index, tensor in enumerate(inputs):
        tensor.requires_grad_(followed or index > 2)
    origins, directions, edges, condition, direction = inputs
    field.zero_grad()
    made = way(field, origins, directions, hit, edges, condition, direction, frame, bend)
    weight = torch.linspace(0.5, 1.5, len(hit))
    loss = (made.channels * weight[:, None]).sum() + (made.opacity * weight).sum() + 0.02 * (made.depth * weight).sum()
    loss.backward()
    values = {"colour": made.channels, "opacity": made.opacity, "depth": made.depth}
    grads = {name: parameter.grad for name, parameter in field.named_parameters()}
    names = ("origins", "directions", "edges", "condition", "direction")
    grads |= {name: t.grad for name, t in zip(names, inputs, strict=True) if t.requires_grad}
    return {k: v.detach().double() for k, v in values.items()}, {k: v.double() for k, v in grads.items()}


@pytest.mark.parametrize(("rays", "samples"), [(2, 1), (47, 10), (49, 7), (50, 64), (300, 10)])
@pytest.mark.parametrize("followed", [True, False])
def test_values_and_gradients_equal_torch(rays, samples, followed, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    values, grads = run(make(rays, samples), by_kernels, followed)
    _, torch_grads = run(make(rays, samples), by_torch, followed)
    exact, exact_grads = run(make(rays, samples), by_torch, followed, exact=True)
    for name, value in exact.items():
        assert (values[name] - value).abs().max() <= 2e-5 * value.abs().max() + 1e-6, name
    assert grads.keys() == exact_grads.keys()
    for name, value in exact_grads.items():
        # rounding decides some ReLUs and cells' edges, for torch as for the kernels: compared as a whole
        scale = value.norm() + 1e-7
        error, theirs = (grads[name] - value).norm() / scale, (torch_grads[name] - value).norm() / scale
        assert error <= 3 * theirs + 2e-5, (name, error, theirs)


def small(dtype=torch.float64):
    """A tiny field of two planes and three rays."""
    torch.manual_seed(1)

    def draw(*shape):
        return (torch.randn(*shape, dtype=dtype) * 0.5).requires_grad_()

    hidden, half = 16, 16
    weights = [draw(hidden, 32), draw(hidden, hidden), draw(hidden), draw(1, hidden), draw(1), draw(half, hidden)]
    weights += [draw(half), draw(3, half), draw(3)]
    planes = [
        PlaneSpec(draw(4 * 5, 16), 4, 5, (0, 1), (0.0, 0.0), (1.0, 1.0)),
        PlaneSpec(draw(3 * 4, 16), 3, 4, (2, 1), (-0.2, 0.0), (1.5, 1.0)),
    ]
    gates, bias, light = draw(2, 16), draw(2, hidden), draw(2, 6, 3)
    prior = Prior((0.5, 0.4, 0.6), (1.0, 1.3, 0.9), torch.full((4, 1), 0.1, dtype=dtype))
    shading = PlaneSpec(light, 2, 3, (0, 1), (0.0, 0.0), (1.0, 1.0))
    bend = torch.full((2, 9, 2), 0.03, dtype=dtype)
    origins = (torch.rand(4, 3, dtype=dtype) * 0.2 + 0.1).requires_grad_()
    directions = torch.nn.functional.normalize(torch.rand(4, 3, dtype=dtype) + 0.5, dim=-1).requires_grad_()
    edges = (torch.rand(3, 4, dtype=dtype).sort(-1).values * 0.8).requires_grad_()
    hit, frame = torch.tensor([True, False, True, True]), torch.tensor([0, 0, 1, 1])
    return (
        origins,
        directions,
        hit,
        edges,
        frame,
        FieldOfFrames(gates, bias, light, planes, shading, weights, prior, bend),
    )


def test_gradients_in_double_precision():
    origins, directions, hit, edges, frame, field = small()
    one, two = field.planes

    def show(origins, directions, edges, gates, bias, light, first, second, *weights):
        planes = [replace(one, table=first), replace(two, table=second)]
        used = replace(field, gates=gates, bias=bias, light=light, planes=planes, weights=weights)
        made = trace(origins, directions, hit, edges, frame, used)
        return made.channels, made.opacity, made.depth

    inputs = (origins, directions, edges, field.gates, field.bias, field.light, one.table, two.table, *field.weights)
    assert torch.autograd.gradcheck(show, inputs, atol=1e-6)


def test_the_operator_passes_opcheck():
    origins, directions, hit, edges, frame, f = small(torch.float32)
    layout = [4, 5, 0, 1, 3, 4, 2, 1, 2, 3]
    box = [x for p in (*f.planes, f.shading) for x in (*p.low, *p.size)] + [*f.prior.centre, *f.prior.radii]
    arguments = (
        *(origins, directions, edges, hit.nonzero()[:, 0], frame.int()),
        [f.prior.relief, f.bend, f.gates, f.bias, f.light, *f.weights, *(p.table for p in f.planes)],
        *(layout, box, 0),
    )
    assert set(torch.library.opcheck(torch.ops.jean.trace.default, arguments).values()) == {"SUCCESS"}


@pytest.mark.parametrize("rays", [0, 2])
def test_rays_that_miss_stay_zero(rays):
    case = list(make(rays))
    case[3], case[4] = torch.zeros(rays, dtype=torch.bool), torch.zeros(0, 11)
    values, grads = run(case, by_kernels)
    assert values["colour"].shape == (rays, 3)
    assert all(bool((v == 0).all()) for v in (*values.values(), *grads.values()))


def test_nan_affects_no_other_ray(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    case = make(60)
    good, _ = run(case, by_kernels)
    case[1][5, 1] = torch.nan
    bad, _ = run(case, by_kernels)
    keep = torch.arange(60) != 5
    assert bad["colour"][5].isnan().all()
    assert all(torch.equal(bad[name][keep], good[name][keep]) for name in good)


def test_too_many_samples_are_an_error():
    with pytest.raises(ValueError, match="64"):
        run(make(4, 65), by_kernels)


def test_any_number_of_threads_gives_the_same_bits(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            # the op alone: what torch does around it depends on threads
            origins, directions, hit, edges, frame, f = small(torch.float32)
            many = [t.detach().repeat(200, *[1] * (t.ndim - 1)) for t in (origins, directions, hit, edges, frame)]
            made = trace(*many, f)
            (made.channels.sum() + made.opacity.sum() + made.depth.sum()).backward()
            leaves = [f.gates, f.bias, f.light, *(p.table for p in f.planes), *f.weights]
            results.append([made.channels.detach(), made.opacity.detach(), *(leaf.grad for leaf in leaves)])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
