"""The torso layer's kernels against its readable torch: values, gradients, every instruction set."""

from __future__ import annotations

import pytest
import torch

from jean.kernels.backend import Backend
from jean.kernels.ops.torso import torso_layer
from jean.models.head.torso import TorsoLayer
from tests.helpers.kernel_paths import path as path


def make(pixels: int, frames: int = 3, seed: int = 0):
    """A layer with a strong deformation, and positions inside and outside the image."""
    torch.manual_seed(seed)
    layer = TorsoLayer()
    for parameter in layer.bend.parameters():
        torch.nn.init.normal_(parameter, 0, 0.5)
    for plane in (layer.coarse, layer.fine):
        plane.table.data.normal_()
    return layer, torch.rand(pixels, 2) * 1.1 - 0.05, torch.randn(frames, 6), torch.arange(pixels) % frames


def run(layer, coordinates, pose, frame, backend):
    layer.backend = Backend.resolve(backend, "cpu")
    layer.zero_grad()
    pose = pose.clone().requires_grad_()
    rgb, opacity = layer(coordinates, pose, frame)
    weight = torch.linspace(0.5, 1.5, len(coordinates))
    ((rgb * weight[:, None]).sum() + (opacity * weight).sum() + rgb[:, 0].square().sum()).backward()
    named = {name: parameter.grad.double() for name, parameter in layer.named_parameters()}
    return {"rgb": rgb.detach(), "opacity": opacity.detach()}, named | {"pose": pose.grad.double()}


def clear_of_kinks(layer, coordinates, pose, frame):
    """Positions at which rounding decides no ReLU and no cell."""
    with torch.no_grad():
        inputs = torch.cat([coordinates * 2 - 1, pose[frame]], -1)
        hidden = layer.bend[0](inputs)
        bent = coordinates + layer.reach * torch.tanh(layer.bend(inputs))
        features = torch.cat([layer.coarse(*bent.T), layer.fine(*bent.T)], -1)
        shade = layer.shade[0](torch.cat([features, pose[frame]], -1))
        cells = torch.cat([bent * (48 - 1), bent * (160 - 1)], -1)
        distances = [hidden.abs().amin(-1), shade.abs().amin(-1), (cells - cells.round()).abs().amin(-1)]
    keep = torch.stack(distances).amin(0) > 1e-4
    assert keep.float().mean() > 0.9
    return layer, coordinates[keep], pose, frame[keep]


@pytest.mark.parametrize("pixels", [1, 31, 32, 33, 2048])
def test_values_and_gradients_equal_the_reference(pixels, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    case = clear_of_kinks(*make(pixels)) if pixels > 1000 else make(pixels)
    values, grads = run(*case, "native")
    expected, expected_grads = run(*case, "reference")
    for name, value in expected.items():
        assert torch.allclose(values[name], value, rtol=1e-5, atol=2e-6), name
    _, exact_grads = run(case[0].double(), case[1].double(), case[2].double(), case[3], "reference")
    for name, value in exact_grads.items():
        # terms of both signs cancel in the bend's gradients: torch's own rounding is the measure there
        allowed = 3e-6 * value.abs().max() + 3 * (expected_grads[name] - value).abs().max() + 1e-7
        assert (grads[name] - value).abs().max() <= allowed, name


def pieces(dtype=torch.float64, frames: int = 2):
    torch.manual_seed(3)

    def draw(*shape):
        return (torch.randn(*shape, dtype=dtype) * 0.5).requires_grad_()

    weights = [
        draw(2, 16),
        draw(frames, 16),
        draw(2, 16),
        draw(2),
        draw(16, 32),
        draw(frames, 16),
        draw(4, 16),
        draw(4),
    ]
    coordinates = torch.rand(5, 2, dtype=dtype) * 0.8 + 0.1
    return coordinates, torch.tensor([0, 0, 1, 1, 1]), [draw(4 * 5, 16), draw(3 * 4, 16)], [(4, 5), (3, 4)], weights


def test_gradients_in_double_precision():
    coordinates, frame, tables, sizes, weights = pieces()

    def layer(one, two, *weights):
        return torso_layer(coordinates, frame, [one, two], sizes, weights, 0.1)

    assert torch.autograd.gradcheck(layer, (*tables, *weights), atol=1e-6)


def test_the_operator_passes_opcheck():
    coordinates, frame, tables, sizes, weights = pieces(torch.float32)
    numbers = [n for size in sizes for n in size]
    arguments = (coordinates, frame.int(), tables, weights, numbers, 0.1, 0)
    assert set(torch.library.opcheck(torch.ops.jean.torso.default, arguments).values()) == {"SUCCESS"}


def test_no_pixels_give_no_values_and_zero_gradients():
    values, grads = run(*make(0), "native")
    assert values["rgb"].shape == (0, 3) and all(bool((g == 0).all()) for g in grads.values())


def test_nan_stays_nan_and_affects_no_other_pixel(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    layer, coordinates, pose, frame = make(64)
    layer.backend = Backend.resolve("native", "cpu")
    good = layer(coordinates, pose, frame)
    coordinates[5, 0] = torch.nan
    rgb, opacity = layer(coordinates, pose, frame)
    keep = torch.arange(64) != 5
    assert rgb[5].isnan().all() and opacity[5].isnan()
    assert torch.equal(rgb[keep], good[0][keep]) and torch.equal(opacity[keep], good[1][keep])


def test_unsupported_widths_are_errors():
    coordinates, frame, tables, sizes, weights = pieces()
    with pytest.raises(ValueError, match="16 channels"):
        torso_layer(coordinates, frame, [tables[0][:, :8], tables[1]], sizes, weights, 0.1)


def test_any_number_of_threads_gives_the_same_bits(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    before, results = torch.get_num_threads(), []
    case = make(3000)
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            *_, tables, sizes, weights = pieces(torch.float32, 3)
            rgb, opacity = torso_layer(case[1], case[3], tables, sizes, weights, 0.1)
            (rgb.sum() + opacity.sum()).backward()
            results.append([rgb.detach(), opacity.detach(), *(t.grad for t in (*tables, *weights))])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
