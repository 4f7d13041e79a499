"""The fast field's kernels against its readable torch: values, gradients, every instruction set."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from jean.kernels.backend import Backend
from jean.kernels.ops.triplane import PlaneSpec, Prior, triplane_field
from jean.models.head.triplane import Part, TriplaneField
from tests.helpers.kernel_paths import path as path

BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))
PARTS = (Part((-6.0, -6.0), (12.0, 5.0), (24, 10), skip=3), Part((-4.0, 2.0), (8.0, 6.0), (16, 12)))


def make(samples: int, frames: int = 4, uniform_weight: float = 1.05, seed: int = 0):
    """A field with a random shading plane, and samples in and around its box."""
    torch.manual_seed(seed)
    field = TriplaneField(12, 3, BOX, PARTS, 4)
    field.relief.normal_(0, 0.5)
    for plane in field.moving:
        plane.table.data.normal_()
    field.shading.table.data.normal_(0, 0.1)
    positions = (torch.rand(samples, 3) * uniform_weight - (uniform_weight - 1) / 2) * field.size + field.low
    frame = torch.arange(samples) * frames // max(samples, 1)
    return field, positions, torch.randn(frames, 12), torch.randn(frames, 3), frame


def gradients(field, positions, condition, direction, frame, backend):
    field.backend = Backend.resolve(backend, "cpu")
    inputs = [t.detach().clone().requires_grad_() for t in (positions, condition, direction)]
    field.zero_grad()
    bend = torch.randn(len(condition), 64 * 64, 2, generator=torch.Generator().manual_seed(5)) * 0.3
    density, rgb = field(*inputs, frame, bend)
    weight = torch.linspace(0.5, 1.5, len(positions))  # of one sign: sums that cancel would show only rounding
    ((density * weight * 0.1).sum() + (rgb * weight[:, None]).sum() + rgb[:, 0].square().sum()).backward()
    named = {name: parameter.grad for name, parameter in field.named_parameters()}
    named |= dict(zip(("positions", "condition", "direction"), (t.grad for t in inputs), strict=True))
    return {"density": density.detach(), "rgb": rgb.detach()}, named


def clear_of_kinks(field, positions, condition, direction, frame, monkeypatch):
    """The samples at which rounding decides no ReLU: all hidden values are far from zero."""
    distances = []
    relu = torch.nn.functional.relu

    def watched(values):
        distances.append(values.detach().abs().amin(-1))
        return relu(values)

    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(torch.nn.functional, "relu", watched)
        field.backend = Backend.resolve("reference", "cpu")
        bend = torch.randn(len(condition), 64 * 64, 2, generator=torch.Generator().manual_seed(5)) * 0.3
        field(positions, condition, direction, frame, bend)
    keep = torch.stack(distances).amin(0) > 1e-5
    assert len(distances) == 3 and keep.float().mean() > 0.9
    return field, positions[keep], condition, direction, frame[keep]


@pytest.mark.parametrize("samples", [1, 31, 32, 33, 2500])
def test_values_and_gradients_equal_the_reference(samples, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    case = make(samples)
    if samples > 1000:
        case = clear_of_kinks(*case, monkeypatch)
    values, grads = gradients(*case, "native")
    expected, expected_grads = gradients(*case, "reference")
    for name, value in expected.items():
        assert torch.allclose(values[name], value, rtol=2e-5, atol=2e-6), name
    for name, value in expected_grads.items():
        error = (grads[name] - value).abs().max()
        # sums of up to 2500 terms in another order: float32 keeps 7 digits of the largest term
        assert error <= 2e-5 * value.abs().max() + 1e-7, (name, error)


def test_gradients_in_double_precision():
    torch.manual_seed(1)
    n, hidden, half, frames = 5, 16, 16, 2

    def draw(*shape, scale=0.5):
        return (torch.randn(*shape, dtype=torch.float64) * scale).requires_grad_()

    tables = [draw(4 * 5, 16), draw(3 * 4, 16)]
    weights = [draw(hidden, 32), draw(hidden, hidden), draw(hidden), draw(1, hidden), draw(1), draw(half, hidden)]
    weights += [draw(half), draw(3, half), draw(3)]
    positions = (torch.rand(n, 3, dtype=torch.float64) * 0.8 + 0.1).requires_grad_()
    frame = torch.tensor([0, 0, 1, 1, 1])
    gates, bias, light = draw(frames, 16), draw(frames, hidden), draw(frames, 6, 3)
    # the same everywhere: gradients take relief and bend as standing still
    prior = Prior((0.5, 0.4, 0.6), (1.0, 1.3, 0.9), torch.full((4, 1), 0.1, dtype=torch.float64))
    bend = torch.full((frames, 9, 2), 0.03, dtype=torch.float64)
    shading = PlaneSpec(light, 2, 3, (0, 1), (0.0, 0.0), (1.0, 1.0))

    def run(positions, gates, bias, light, one, two, *weights):
        planes = [
            PlaneSpec(one, 4, 5, (0, 1), (0.0, 0.0), (1.0, 1.0)),
            PlaneSpec(two, 3, 4, (2, 1), (-0.2, 0.0), (1.5, 1.0)),
        ]
        return triplane_field(positions, frame, gates, bias, light, planes, shading, weights, prior, bend)

    assert torch.autograd.gradcheck(run, (positions, gates, bias, light, *tables, *weights), atol=1e-6)


def pieces(field):
    """Tables, weights, planes and shading plane of a field, as the operator takes them."""
    planes = [
        PlaneSpec(p.table.detach(), p.height, p.width, (0, 1), (-14.0, -18.0), (28.0, 33.0))
        for p in (*field.static, *field.moving)
    ]
    shading = PlaneSpec(field.shading.table, 12, 12, (0, 1), (-14.0, -18.0), (28.0, 33.0))
    layers = (field.second, field.density, field.colour, field.rgb)
    weights = [field.first.weight, *(t for layer in layers for t in (layer.weight, layer.bias))]
    return [p.table for p in planes], [w.detach() for w in weights], planes, shading


def test_the_operator_passes_opcheck():
    field, positions, _, _, frame = make(40, frames=2)
    tables, weights, planes, shading = pieces(field)
    layout = [n for p in (*planes, shading) for n in (p.height, p.width, *p.axes)][:-2]
    box = [x for p in (*planes, shading) for x in (*p.low, *p.size)] + [0.0, 0.0, 4.0, 8.0, 9.0, 10.0]
    still = [torch.randn(25, 1), torch.randn(2, 25, 2)]
    smooth = [torch.randn(*shape) for shape in ((2, 32), (2, 64), (2, 144, 3))]
    gates, bias, light = (t.requires_grad_() for t in smooth)
    tables, weights = ([t.requires_grad_() for t in part] for part in (tables, weights))
    tensors = [*still, gates, bias, light, *weights, *tables]
    arguments = (positions.requires_grad_(), frame.int(), tensors, layout, box, 0)
    results = torch.library.opcheck(torch.ops.jean.triplane.default, arguments)
    assert set(results.values()) == {"SUCCESS"}


def test_no_samples_give_no_values_and_zero_gradients(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    values, grads = gradients(*make(0), "native")
    assert values["rgb"].shape == (0, 3) and values["density"].shape == (0,)
    assert all(bool((g == 0).all()) for g in grads.values())


def test_nan_stays_nan_and_affects_no_other_sample(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    field, positions, condition, direction, frame = make(64)
    field.backend = Backend.resolve("native", "cpu")
    good = field(positions, condition, direction, frame)
    positions[5, 1] = torch.nan
    positions[40] = torch.inf
    density, rgb = field(positions, condition, direction, frame)
    assert density[5].isnan() and rgb[5].isnan().all()
    keep = torch.ones(64, dtype=torch.bool)
    keep[[5, 40]] = False
    assert torch.equal(density[keep], good[0][keep]) and torch.equal(rgb[keep], good[1][keep])


def test_strided_tensors_give_the_same_values():
    field, positions, condition, direction, frame = make(100)
    field.backend = Backend.resolve("native", "cpu")
    wide = torch.zeros(100, 6)
    wide[:, ::2] = positions
    for plain, strided in zip(
        field(positions, condition, direction, frame), field(wide[:, ::2], condition, direction, frame), strict=True
    ):
        assert torch.equal(plain, strided)


def test_any_number_of_threads_gives_the_same_bits(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    before, results = torch.get_num_threads(), []
    field, positions, _, _, frame = make(5000)
    gates, bias, light = torch.randn(4, 32), torch.randn(4, 64), torch.randn(4, 144, 3)
    prior = Prior((0.0, -1.5, 4.5), (8.5, 12.0, 10.5), field.relief)
    tables, weights, planes, shading = pieces(field)
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            leaves = [t.detach().clone().requires_grad_() for t in (gates, bias, light, *tables, *weights)]
            specs = [replace(spec, table=leaf) for spec, leaf in zip(planes, leaves[3:], strict=False)]
            density, rgb = triplane_field(
                positions, frame, *leaves[:3], specs, shading, leaves[3 + len(tables) :], prior
            )
            torch.autograd.backward([density, rgb], [torch.ones_like(density), torch.ones_like(rgb)])
            results.append([density.detach(), rgb.detach(), *(leaf.grad for leaf in leaves)])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.slow
def test_ten_million_samples(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    field, positions, condition, direction, frame = make(1000, frames=1)
    field.backend = Backend.resolve("native", "cpu")
    with torch.no_grad():
        few = field(positions, condition, direction, frame)
        # ten million in all: what each keeps for its gradients lets a quarter of them fit into 3 GB
        for _ in range(4):
            many = field(positions.repeat(2500, 1), condition, direction, frame.repeat(2500))
            assert torch.equal(many[0].view(2500, 1000), few[0].expand(2500, -1))
            assert torch.equal(many[1].view(2500, 1000, 3), few[1].expand(2500, -1, -1))
            del many
