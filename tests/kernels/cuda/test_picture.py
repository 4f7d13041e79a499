"""Fused rendering by the CUDA kernels, run on the CPU, against the head in readable torch."""

from __future__ import annotations

import ctypes

import pytest
import torch

from jean.kernels.arguments import RenderCall
from jean.kernels.backend import Backend
from jean.kernels.cuda.launch import launch_render
from jean.kernels.reference import Composite
from jean.models.head.fast import FastHead
from tests.helpers.cuda_emulator import emulator as emulator
from tests.kernels.ops.test_render import head, rays

# Each value that enters a matrix product is rounded: bf16 keeps 8 bits, fp16 11.
CLOSE = {"bf16": 2e-2, "fp16": 3e-3}


def vivid() -> FastHead:
    """A head whose image depends on every layer."""
    made = head()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for layer in (made.field.second, made.field.colour, made.field.rgb):
            layer.weight.data.normal_(0, 2 * layer.weight.shape[1] ** -0.5)
    return made.eval()


def problem(count: int, bent: bool = True):
    generator = torch.Generator().manual_seed(2)
    condition, view = torch.randn(1, 16, generator=generator), torch.randn(1, 3, generator=generator)
    bend = torch.randn(1, 64 * 64, 2, generator=generator) * 0.2 if bent else None
    return (*rays(count), condition, view, bend)


@torch.no_grad()
def expected(made, origins, directions, condition, view, bend) -> Composite:
    made.use(Backend.resolve("reference", "cpu"))
    frame = torch.zeros(len(origins), dtype=torch.long)
    return made.trace(origins, directions, condition, view, frame, None, bend)[-1]


def test_a_layer_is_a_product(emulator):
    """With numbers that half precision represents exactly, only sums are rounded."""
    torch.manual_seed(0)
    x, w = torch.randint(-9, 9, (32, 64)).float(), torch.randint(-9, 9, (32, 64)).float()
    bias, weights, y, own = torch.randn(32), torch.randn(32), torch.full((32, 32), torch.nan), torch.zeros(32)
    emulator.library.launch_layer(*(ctypes.c_void_p(t.data_ptr()) for t in (x, w, bias, weights, y, own)))
    torch.testing.assert_close(y, x @ w.T + bias, atol=1e-3, rtol=1e-6)
    torch.testing.assert_close(own, y @ weights, atol=1e-2, rtol=1e-5)


def seen(made, emulator, origins, directions, condition, view, bend, samples: int = 10) -> Composite:
    grid, frame = made.occupancy, made.field.frame_field(condition, view, bend)
    call = RenderCall(
        frame, grid.sampling, grid.low, grid.high, origins, directions, samples, 48, made.full_samples_opacity
    )
    for tensor in call.outputs:
        tensor.fill_(torch.nan)  # every value has to be written
    launch_render(call, emulator)
    return call.result()


@pytest.mark.parametrize(("count", "bent"), [(1, True), (33, False), (200, True)])
def test_rendered_rays_equal_the_reference(count, bent, emulator):
    made, given = vivid(), problem(count, bent)
    want, got = expected(made, *given), seen(made, emulator, *given)
    assert got.weights.shape == (count, 0)
    for name in ("channels", "opacity"):
        error = (getattr(got, name) - getattr(want, name)).abs()
        # a lookup at a cell's border may fall to either side
        assert (error > CLOSE[emulator.half]).sum() <= 0.01 * count, (name, error.max())
        assert error.mean() < CLOSE[emulator.half] / 10, (name, error.mean())
    assert ((got.depth - want.depth).abs() > CLOSE[emulator.half] * 80).sum() <= 0.01 * count


def test_block_size_and_order_of_rays_change_no_bit(emulator, monkeypatch):
    made, given = vivid(), problem(100)
    first = seen(made, emulator, *given)
    monkeypatch.setattr(emulator, "threads", 32)
    again = seen(made, emulator, *given)
    assert torch.equal(first.channels, again.channels) and torch.equal(first.depth, again.depth)
    turned = seen(made, emulator, given[0].flip(0), given[1].flip(0), *given[2:])
    assert torch.equal(first.channels, turned.channels.flip(0))


@pytest.mark.parametrize("kind", ["none", "empty", "missed", "nan"])
def test_rays_that_miss_stay_zero(kind, emulator):
    made = head(empty=1.1 if kind == "empty" else 0.3)
    origins, directions, *rest = problem(0 if kind == "none" else 70)
    origins = origins + (500 if kind == "missed" else 0)
    directions = directions * (torch.nan if kind == "nan" else 1)
    out = seen(made, emulator, origins, directions, *rest)
    assert out.channels.shape == (len(origins), 3) and (out.channels == 0).all() and (out.opacity == 0).all()
    assert (out.depth == 0).all()


def test_an_opaque_cell_ends_rays_at_the_first_sample(emulator):
    made, given = head(), problem(100)
    made.field.density.bias.data.fill_(20.0)
    want, got = expected(made, *given), seen(made, emulator, *given)
    assert got.opacity.max() > 0.999 and want.opacity.max() > 0.999
    assert ((got.channels - want.channels).abs() > CLOSE[emulator.half]).sum() <= 3


def test_a_nan_field_renders_nan(emulator):
    made, given = head(), problem(64)
    made.field.second.bias.data[3] = torch.nan
    got, want = seen(made, emulator, *given), expected(made, *given)
    assert torch.equal(got.channels.isnan(), want.channels.isnan()) and got.channels.isnan().any()


def test_unsupported_arguments_are_errors(emulator):
    made, (origins, directions, condition, view, bend) = head(), problem(4)
    grid, frame = made.occupancy, made.field.frame_field(condition, view, bend)
    call = RenderCall(frame, grid.sampling, grid.low, grid.high, origins, directions, 10, 65)
    with pytest.raises(ValueError, match="64 lookups"):
        launch_render(call, emulator)
    half = made.field.frame_field(condition, view, bend, "bf16")
    call = RenderCall(half, grid.sampling, grid.low, grid.high, origins, directions, 10, 48)
    with pytest.raises(ValueError, match="single precision"):
        launch_render(call, emulator)
