"""Gradients of the paper's field by the CUDA kernels, run on the CPU, against readable torch."""

from __future__ import annotations

import pytest
import torch

from jean.kernels.cuda import mlp as cuda_mlp
from jean.kernels.cuda import products as cuda_products
from jean.kernels.ops import mlp as mlp_op
from jean.kernels.ops.mlp import MlpCall
from tests.helpers.cuda_emulator import emulator as emulator
from tests.kernels.cuda.test_mlp import vivid
from tests.kernels.ops.test_mlp import clear_of_kinks, gradients

CPU = torch.device("cpu")


@pytest.fixture
def gpu(emulator, monkeypatch):
    """Makes the operator use the CUDA kernels."""
    monkeypatch.setattr(mlp_op, "on_gpu", lambda tensor: True)
    monkeypatch.setattr(cuda_mlp, "Launcher", lambda device: emulator)
    emulator.launched.clear()
    return emulator


def case(samples: int, frames: int, monkeypatch):
    """A vivid field, and samples at which rounding decides no ReLU."""
    field, *rest = vivid(samples, frames)
    field.density.bias.data += 0.3  # the median sample is at its kink else
    return clear_of_kinks(field, *rest, monkeypatch)


def relative_error(got, want) -> float:
    """Mean error relative to the mean absolute value."""
    return float((got - want).abs().mean() / want.abs().mean())


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (33, 3), (90, 70)])
def test_gradients_in_single_precision_equal_the_reference(samples, frames, gpu, monkeypatch):
    given = case(samples, frames, monkeypatch)
    expected, expected_grads = gradients(*given, "reference")
    got, grads = gradients(*given, "native")
    for name, value in expected.items():
        assert torch.allclose(got[name], value, rtol=2e-5, atol=1e-5), name
    for name, value in expected_grads.items():
        # the CPU kernels are as close, see ops/test_mlp.py
        assert (grads[name] - value).abs().max() <= 5e-5 * value.abs().max() + 1e-7, name
    names = {name for _, name in gpu.launched}
    assert {"jean_mlp_single", "jean_mlp_back_single", "jean_products_single"} <= names
    assert not any(name.endswith("half") for name in names)


def test_gradients_under_autocast_are_as_close_as_torchs_own(gpu, monkeypatch):
    """Factors of eight bits and their effect on ReLUs give errors of several percent, in torch too."""
    given = case(150, 2, monkeypatch)
    _, expected = gradients(*given, "reference")
    with torch.autocast("cpu", torch.bfloat16):
        _, torchs = gradients(*given, "reference")
        _, grads = gradients(*given, "native")
    assert {name for _, name in gpu.launched} >= {"jean_mlp_half", "jean_mlp_back_half", "jean_products_half"}
    for name, value in expected.items():
        assert relative_error(grads[name], value) < 1.3 * relative_error(torchs[name], value) + 0.01, name


def flowing(samples: int, factor: float = 1.0):
    """A problem for the launch functions, with memory for its gradients."""
    field, positions, condition, direction, frame = vivid(samples, 2)
    with torch.no_grad():
        call = MlpCall(positions, frame, field.kernel_spec(condition, direction), True)
    to_density = torch.linspace(0.5, 1.5, samples) * factor
    return call, to_density, to_density[:, None].repeat(1, 3)


def back(call, to_density, to_rgb, kind, launcher, move: bool = True):
    cuda_mlp.launch_mlp(call.field, call.samples, CPU, kind, launcher=launcher)
    made = [torch.full_like(t, torch.nan) for t in call.held[:-2]]
    moved = torch.zeros(len(to_rgb), 3) if move else None
    cuda_mlp.launch_mlp_backward(call.field, call.samples, to_density, to_rgb, made, moved, kind, launcher)
    return made, moved


@pytest.mark.parametrize("kind", ["half", "single"])
def test_the_block_size_changes_no_bit(kind, emulator, monkeypatch):
    problem, seen = flowing(40), []
    for threads in (32, 128):
        monkeypatch.setattr(emulator, "threads", threads)
        made, moved = back(*problem, kind, emulator)
        seen.append([*made, moved])
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))


@pytest.mark.parametrize("kind", ["half", "single"])
def test_gradients_of_any_size_are_kept(kind, emulator):
    """Incoming gradients are scaled by a power of two, so that fp16 keeps those of a mean over many rays."""
    factor = 2.0**-40
    made, moved = back(*flowing(32), kind, emulator)
    small, small_moved = back(*flowing(32, factor), kind, emulator)
    assert all(value.abs().max() > 0 for value in small)
    for a, b in zip([*made, moved], [*small, small_moved], strict=True):
        assert torch.equal(a * factor, b)


def test_rounds_of_few_samples_add_up(emulator, monkeypatch):
    problem = flowing(66)
    made, moved = back(*problem, "single", emulator)
    monkeypatch.setattr(cuda_products, "SCRATCH_BYTES", 1)  # one tile of 32 samples a round
    emulator.launched.clear()
    again, moved_again = back(*problem, "single", emulator)
    assert [name for _, name in emulator.launched].count("jean_products_single") == 3
    assert torch.equal(moved, moved_again)
    for one, other in zip(made, again, strict=True):
        assert (one - other).abs().max() <= 1e-5 * one.abs().max()


def test_samples_without_gradients_are_skipped(emulator):
    call, to_density, to_rgb = flowing(3000)
    flows = torch.rand(3000, generator=torch.Generator().manual_seed(0)) < 0.02
    call.density.copy_(flows)  # ReLU stops all others
    to_rgb.zero_()
    to_rgb[7, 1] = to_rgb[2999, 2] = -4.5  # the greatest
    chosen, counters = cuda_mlp._active_samples(call.samples, to_density, to_rgb, CPU, emulator)
    flows[7] = flows[2999] = True
    assert counters[0] == flows.sum() and chosen[: counters[0]].tolist() == flows.nonzero()[:, 0].tolist()
    assert counters[1:].view(torch.float32) == 4.5


@pytest.mark.parametrize("kind", ["half", "single"])
def test_zero_gradients_need_the_same_launches(kind, emulator):
    """A CUDA graph records one sequence of launches per shape."""
    call, to_density, to_rgb = flowing(50)
    emulator.launched.clear()
    back(call, to_density, to_rgb, kind, emulator)
    full = list(emulator.launched)
    made, moved = back(call, to_density * 0, to_rgb * 0, kind, emulator)
    assert all((value == 0).all() for value in (*made, moved)) and emulator.launched == 2 * full


def test_no_samples_give_zero_gradients(gpu, monkeypatch):
    values, grads = gradients(*vivid(0), "native")
    assert values["rgb"].shape == (0, 3) and all(bool((g == 0).all()) for g in grads.values()) and not gpu.launched


@pytest.mark.parametrize("kind", ["half", "single"])
def test_nan_stays_nan(kind, emulator):
    call, to_density, to_rgb = flowing(64)
    positions = call.held[-2]
    positions[5, 1] = torch.nan
    made, moved = back(call, to_density, to_rgb, kind, emulator)
    assert made[0].isnan().any() and moved[5].isnan().any()  # and no gradient hides it
    others = torch.arange(64) != 5
    assert moved[others].isfinite().all()


def test_gradients_of_positions_are_optional(emulator):
    problem = flowing(33)
    made, _ = back(*problem, "single", emulator)
    still, none = back(*problem, "single", emulator, move=False)
    assert none is None and all(torch.equal(a, b) for a, b in zip(made, still, strict=True))
