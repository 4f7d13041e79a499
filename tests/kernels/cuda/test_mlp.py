"""The CUDA kernel of the paper's field, run on the CPU, against readable torch."""

from __future__ import annotations

import pytest
import torch

from jean.kernels.backend import Backend
from jean.kernels.cuda.mlp import launch_mlp
from jean.kernels.ops.mlp import MlpCall
from jean.models.head.base import HeadArguments
from jean.models.head.mlp import MlpField
from jean.models.head.paper import PaperHead
from tests.helpers.cuda_emulator import emulator as emulator
from tests.kernels.ops.test_mlp import BOX, make
from tests.kernels.ops.test_mlp_render import half_by_torch, rays, smooth

# A value is rounded before each of eleven layers: bf16 keeps 8 bits, fp16 11.
CLOSE = {"bf16": 3e-2, "fp16": 4e-3}


def vivid(samples: int, frames: int = 3):
    """A field whose output depends on every layer; by default, values shrink from layer to layer."""
    field, *rest = make(samples, frames)
    with torch.no_grad():
        for layer in (*field.layers, *field.colour, field.rgb):
            layer.weight.normal_(0, (2 / layer.weight.shape[1]) ** 0.5)
        field.density.weight.normal_(0, 0.2)
        field.density.bias.fill_(100.0)  # so that none is cut off at zero
        if samples:
            field.density.bias -= field(*rest)[0].median()
    field.backend = Backend.resolve("reference", "cpu")
    return field, *rest


@torch.no_grad()
def values(emulator, field, positions, condition, direction, frame, colour: bool = True, kind: str = "half"):
    call = MlpCall(positions, frame, field.kernel_spec(condition, direction), colour)
    call.density.fill_(torch.nan)
    if colour:
        call.rgb.fill_(torch.nan)
    launch_mlp(call.field, call.samples, call.density.device, kind, skip_empty_tiles=True, launcher=emulator)
    return call.density, call.rgb


@pytest.mark.parametrize(
    ("kind", "samples", "frames"), [("half", 1, 1), ("half", 33, 3), ("half", 300, 2), ("single", 33, 3)]
)
def test_values_equal_the_reference(kind, samples, frames, emulator):
    field, *rest = vivid(samples, frames)
    with torch.no_grad():
        density, rgb = field(*rest)
    got_density, got_rgb = values(emulator, field, *rest, kind=kind)
    assert samples < 100 or (0.2 < (density > 0).float().mean() < 0.8 and rgb.std() > 0.1)
    close = CLOSE[emulator.half] if kind == "half" else 2e-6
    scale = density.abs().max() + 1e-3
    assert (got_density - density).abs().max() < close * max(scale, 1.0)
    seen = (density > 0) & (got_density > 0)
    assert (got_rgb - rgb)[seen].abs().amax() < 2 * close if seen.any() else True
    assert (got_rgb - rgb)[seen].abs().mean() < close / 4 if seen.any() else True
    only_density, none = values(emulator, field, *rest, colour=False, kind=kind)
    assert none is None and torch.equal(only_density, got_density)


def test_values_equal_torch_with_the_same_roundings(emulator):
    """Only the order of additions differs, which changes the rounding of a few values."""
    if emulator.half != "bf16":
        pytest.skip("the formulation in torch is in bf16")
    field, positions, condition, direction, frame = vivid(200, 1)
    density, rgb = half_by_torch(field.requires_grad_(False), positions, condition, direction)
    got_density, got_rgb = values(emulator, field, positions, condition, direction, frame)
    assert (got_density - density).abs().mean() < 2e-3 * density.std()
    assert (got_rgb - rgb)[got_density > 0].abs().mean() < 5e-4


@torch.no_grad()
def test_few_samples_operation_by_operation_equal_the_fused_rendering():
    """The GPU path of a rendering that is one call on the CPU."""
    torch.manual_seed(0)
    made = PaperHead(HeadArguments((3, 3, 3), BOX, []))
    smooth(made.fine)
    made.use(Backend.resolve("native", "cpu"))
    condition, view = torch.ones(1, 9), torch.ones(1, 3)
    made.skip_empty(condition)
    origins, directions = rays(200)
    want = made.trace(origins, directions, condition, view, torch.zeros(200, dtype=torch.long), None)[0]
    got = made.trace_few(origins, directions, condition, view)
    assert 0.1 < want.opacity.mean() < 0.9
    # a ray of one call ends when 5e-3 of its light is left
    assert (got.channels - want.channels).abs().max() < 6e-3 and (got.opacity - want.opacity).abs().max() < 6e-3


def test_the_block_size_changes_no_bit(emulator, monkeypatch):
    case = vivid(100)
    first = values(emulator, *case)
    monkeypatch.setattr(emulator, "threads", 128)
    again = values(emulator, *case)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])


@pytest.mark.parametrize("kind", ["none", "empty", "opaque", "nan", "far"])
def test_hard_cases(kind, emulator):
    field, positions, *rest = vivid(0 if kind == "none" else 40)
    if kind in ("empty", "opaque"):
        field.density.bias.data.fill_(-1e4 if kind == "empty" else 1e4)
    if kind == "nan":
        positions[3] = torch.nan
    if kind == "far":
        positions = positions * 1e3
    density, rgb = values(emulator, field, positions, *rest)
    assert len(density) == len(positions) and rgb.shape == (len(positions), 3)
    if kind == "empty":
        assert (density == 0).all() and (rgb == 0).all()
    elif kind == "opaque":
        assert (density > 9e3).all() and (rgb > 0).all()
    elif kind == "nan":
        broken = torch.arange(len(positions)) == 3
        assert torch.equal(density.isnan(), broken) and torch.equal(rgb.isnan().any(1), broken)
    else:
        assert density.isfinite().all() and rgb.isfinite().all()


def test_a_field_of_other_widths_is_an_error(emulator):
    field = MlpField(12, BOX, width=256)
    with pytest.raises(ValueError, match="128 and then"):
        values(emulator, field, torch.zeros(4, 3), torch.zeros(1, 12), torch.zeros(1, 3), torch.zeros(4).int())


def test_tensors_have_to_be_aligned_to_16_bytes(emulator):
    field, positions, condition, direction, frame = vivid(4)
    field.layers[2].bias = torch.nn.Parameter(torch.zeros(129)[1:])
    with pytest.raises(ValueError, match="16 bytes"):
        values(emulator, field, positions, condition, direction, frame)
