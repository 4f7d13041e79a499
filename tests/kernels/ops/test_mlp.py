"""The paper's field's kernels against its readable torch: values, gradients, every instruction set."""

from __future__ import annotations

import math

import pytest
import torch

from jean.kernels.backend import Backend
from jean.kernels.ops.mlp import MlpSpec, mlp_field, mlp_values
from jean.models.head.base import HeadArguments
from jean.models.head.mlp import MlpField
from jean.models.head.paper import PaperHead
from tests.helpers.kernel_paths import path as path

BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))


def make(samples: int, frames: int = 3, seed: int = 0):
    """A field with density at a third of the positions, and samples in and around its box."""
    torch.manual_seed(seed)
    field = MlpField(12, BOX)
    field.density.weight.data *= 8
    low, high = torch.tensor(BOX)
    positions = (torch.rand(samples, 3) * 1.1 - 0.05) * (high - low) + low
    condition, direction = torch.randn(frames, 12), torch.nn.functional.normalize(torch.randn(frames, 3), dim=-1)
    frame = torch.arange(samples) * frames // max(samples, 1)
    if samples > 2:
        field.density.bias.data.fill_(10.0)
        with torch.no_grad():
            field.density.bias -= field(positions, condition, direction, frame)[0].quantile(2 / 3)
    return field, positions, condition, direction, frame


def gradients(field, positions, condition, direction, frame, backend):
    field.backend = Backend.resolve(backend, "cpu")
    inputs = [t.detach().clone().requires_grad_() for t in (positions, condition, direction)]
    field.zero_grad()
    density, rgb = field(*inputs, frame)
    weight = torch.linspace(0.5, 1.5, len(positions)).to(rgb)  # of one sign: sums that cancel show only rounding
    # as in an image, colours do not matter where there is no density
    ((density * weight * 0.1).sum() + (rgb * (weight * (density > 0))[:, None]).sum()).backward()
    named = {name: parameter.grad for name, parameter in field.named_parameters()}
    named |= dict(zip(("positions", "condition", "direction"), (t.grad for t in inputs), strict=True))
    return {"density": density.detach(), "rgb": rgb.detach()}, named


def clear_of_kinks(field, positions, condition, direction, frame, monkeypatch):
    """The samples at which rounding decides no ReLU: all hidden values are far from zero."""
    distances = []
    relu = torch.nn.functional.relu

    def watched(values):
        distances.append(values.detach().abs().view(len(positions), -1).amin(-1))
        return relu(values)

    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(torch.nn.functional, "relu", watched)
        field.backend = Backend.resolve("reference", "cpu")
        field(positions, condition, direction, frame)
    keep = torch.stack(distances).amin(0) > 1e-6
    assert len(distances) == 12 and keep.float().mean() > 0.8
    return field, positions[keep], condition, direction, frame[keep]


@pytest.mark.parametrize("samples", [1, 31, 32, 33, 1500])
def test_values_and_gradients_equal_the_reference(samples, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    case = clear_of_kinks(*make(samples), monkeypatch)
    values, grads = gradients(*case, "native")
    expected, expected_grads = gradients(*case, "reference")
    assert samples < 100 or 0.1 < (expected["density"] > 0).float().mean() < 0.9
    for name, value in expected.items():
        assert torch.allclose(values[name], value, rtol=2e-5, atol=2e-6), name
    for name, value in expected_grads.items():
        error = (grads[name] - value).abs().max()
        # sums of up to 1500 terms in another order, and positions magnified by 2^9 octave for octave
        assert error <= 5e-5 * value.abs().max() + 1e-7, (name, error, value.abs().max())


def test_arguments_of_any_size_are_encoded_as_accurately_as_by_torch(path, monkeypatch):
    """Fields whose density is one number of the encoding, or its negative, also far outside the box."""
    monkeypatch.setenv("JEAN_KERNELS", path)
    field = MlpField(1, ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)))
    for parameter in field.parameters():
        parameter.data.zero_()
    for layer in field.layers[1:]:
        layer.weight.data[:2, layer.in_features - 128 :][:, :2] = torch.eye(2)  # two numbers are handed on
    field.density.weight.data[0, :2] = torch.tensor([1.0, -1.0])
    field.density.bias.data.fill_(2.0)
    near = torch.linspace(-1, 1, 4001)
    x = torch.cat([near, near * 15, near * 1e4, torch.tensor([0.0, 1e9, -3e6])])
    for place in (3, 5, 3 + 6 * 9, 3 + 6 * 9 + 5):
        first = field.layers[0].weight.data
        first.zero_()
        first[0, place], first[1, place] = 1.0, -1.0
        positions = x[:, None].expand(-1, 3).contiguous()
        density, _ = mlp_values(
            positions, torch.zeros(len(x), dtype=torch.long), field.kernel_spec(torch.zeros(1, 1), torch.zeros(1, 3))
        )
        octave, wave = divmod(place - 3, 6)
        argument = (x * 2.0**octave).double()
        exact = 2 + (torch.sin(argument) if wave < 3 else torch.cos(argument))
        assert (density - exact).abs().max() < 5e-7, place


def test_gradients_in_double_precision():
    torch.manual_seed(1)
    n, width, half, frames = 6, 8, 4, 2

    def draw(*shape, scale=0.6):
        return (torch.randn(*shape, dtype=torch.float64) * scale).requires_grad_()

    sizes = [(63, width), (width, width), (63 + width, width), (width, width), (width, half), (half, half)]
    weights = [draw(outputs, inputs, scale=1.5 / math.sqrt(inputs)) for inputs, outputs in sizes]
    biases = [draw(frames, outputs) if i in (0, 2, 4) else draw(outputs) for i, (_, outputs) in enumerate(sizes)]
    ends = [draw(1, width), draw(1), draw(3, half), draw(3)]
    positions = (torch.rand(n, 3, dtype=torch.float64) * 4 - 2).requires_grad_()
    frame = torch.tensor([0, 0, 1, 1, 1, 0])

    def run(positions, *flat):
        spec = MlpSpec(flat[:6], flat[6:12], flat[12:], 4, 2, (0.1, 0.0, -0.2), (150.0, 120.0, 180.0), frames)
        return mlp_field(positions, frame, spec)

    assert (run(positions, *weights, *biases, *ends)[0] > 0).any()
    assert torch.autograd.gradcheck(run, (positions, *weights, *biases, *ends), atol=1e-6)


def arguments(field, positions, condition, direction, frame):
    """Arguments of the operator, from a field."""
    spec = field.kernel_spec(condition, direction)
    lists = [[t.detach().clone().requires_grad_() for t in part] for part in (spec.weights, spec.biases, spec.ends)]
    box = [*spec.middle, *spec.reach]
    return positions.requires_grad_(), frame.int(), *lists, [spec.trunk, spec.join, spec.frames], box, 0


def test_the_operator_passes_opcheck():
    results = torch.library.opcheck(torch.ops.jean.mlp.default, arguments(*make(40)))
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
    assert density[[5, 40]].isnan().all() and rgb[[5, 40]].isnan().all()
    keep = torch.ones(64, dtype=torch.bool)
    keep[[5, 40]] = False
    assert torch.equal(density[keep], good[0][keep]) and torch.equal(rgb[keep], good[1][keep])
    density.sum().backward()
    assert field.layers[0].weight.grad.isnan().any()  # and no gradient hides it


def test_strided_tensors_give_the_same_values():
    field, positions, condition, direction, frame = make(100)
    field.backend = Backend.resolve("native", "cpu")
    wide = torch.zeros(100, 6)
    wide[:, ::2] = positions
    strided = field(wide[:, ::2], condition, direction, frame[:, None].expand(-1, 3)[:, 1])
    for plain, other in zip(field(positions, condition, direction, frame), strided, strict=True):
        assert torch.equal(plain, other)


def test_any_number_of_threads_gives_the_same_bits(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    before, results = torch.get_num_threads(), []
    case = make(3000)
    try:
        field, *inputs = case
        specs = arguments(field, *inputs)
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            leaves = [t for part in specs[2:5] for t in part]
            for leaf in leaves:
                leaf.grad = None
            number = {"portable": 0, "avx2": 1, "avx512": 2}[path]
            density, rgb = torch.ops.jean.mlp(*specs[:-1], number)
            torch.autograd.backward([density, rgb], [torch.ones_like(density), torch.ones_like(rgb)])
            results.append([density.detach(), rgb.detach(), *(leaf.grad.clone() for leaf in leaves)])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.slow
def test_ten_million_samples_in_one_call():
    """For the fastest instruction set only, since the indices of samples, which could overflow, are common to all."""
    field, positions, condition, direction, frame = make(1000, frames=1)
    spec = field.requires_grad_(False).kernel_spec(condition, direction)
    few = mlp_values(positions, frame, spec)
    many = mlp_values(positions.repeat(10_000, 1), frame.repeat(10_000), spec)
    assert torch.equal(many[0].view(10_000, 1000), few[0].expand(10_000, -1))
    seen = few[0] > 0  # the others' colours are zero or not, as their neighbours in a tile are
    assert torch.equal(many[1].view(10_000, 1000, 3)[:, seen], few[1][seen].expand(10_000, -1, -1))


def test_unsupported_widths_are_errors():
    field = MlpField(4, BOX, width=96)
    field.backend = Backend.resolve("native", "cpu")
    with pytest.raises(ValueError, match="multiple of 64 outputs, not 96"):
        field(torch.zeros(2, 3), torch.zeros(1, 4), torch.ones(1, 3), torch.zeros(2, dtype=torch.long))


@pytest.mark.parametrize("rays", [0, 1, 300])
def test_rendering_of_the_paper_head_equals_the_reference(rays, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    torch.manual_seed(3)
    head = PaperHead(HeadArguments((4, 5, 0), BOX, []))
    places = (torch.rand(500, 3) - 0.5) * 20
    for field in (head.coarse, head.fine):
        field.density.weight.data *= 20
        field.density.bias.data.fill_(10.0)
        with torch.no_grad():
            density = field(places, torch.ones(1, 9), torch.ones(1, 3), torch.zeros(500, dtype=torch.long))[0]
            field.density.bias -= density.quantile(0.7)
    targets = torch.randn(rays, 3) * 7
    origins = torch.tensor([1.0, 0.0, -60.0]).expand(rays, 3)
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    frame = torch.zeros(rays, dtype=torch.long)
    seen = {}
    for backend in ("reference", "native"):
        head.use(Backend.resolve(backend, "cpu"))
        with torch.no_grad():
            seen[backend] = head.trace(origins, directions, torch.ones(1, 9), torch.ones(1, 3), frame, None)[-1]
    for name in ("channels", "opacity"):
        error = (getattr(seen["native"], name) - getattr(seen["reference"], name)).abs()
        # a quantile beside a step of the coarse weights may fall to either side of it, in a ray or two
        assert error.square().sum() <= 1e-6 * error.numel() and (error > 1e-5).sum() <= 0.2 * error.numel(), name
    assert rays < 100 or 0.1 < seen["reference"].opacity.mean() < 0.99
