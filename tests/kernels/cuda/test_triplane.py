"""The fast field's CUDA kernels for training, run on the CPU, against readable torch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from jean.kernels.backend import Backend
from jean.kernels.cuda import products as cuda_products
from jean.kernels.cuda import triplane as cuda_triplane
from jean.kernels.ops import triplane as triplane_op
from jean.kernels.ops.triplane import Prior, triplane_field
from jean.models.head.triplane import TriplaneField
from tests.helpers.cuda_emulator import emulator as emulator
from tests.kernels.ops.test_triplane import PARTS, clear_of_kinks, gradients, make, pieces

# Of the largest: a place in 208 cells is a product here and a quotient in torch, which differ by two roundings.
CLOSE = 5e-5


def close(got: torch.Tensor, want: torch.Tensor) -> bool:
    return bool((got - want).abs().max() <= CLOSE * want.abs().max() + 1e-7)


@pytest.fixture(autouse=True)
def gpu(emulator, monkeypatch):
    """Makes the operator use the CUDA kernels."""
    monkeypatch.setattr(triplane_op, "on_gpu", lambda tensor: True)
    monkeypatch.setattr(cuda_triplane, "Launcher", lambda device: emulator)
    emulator.launched.clear()
    return emulator


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (33, 4), (200, 70)])
def test_values_and_gradients_equal_the_reference(samples, frames, gpu, monkeypatch):
    case = clear_of_kinks(*make(samples, frames), monkeypatch)
    values, grads = gradients(*case, "native")
    expected, expected_grads = gradients(*case, "reference")
    for name, value in expected.items():
        assert torch.allclose(values[name], value, rtol=2e-5, atol=2e-6), name
    for name, value in expected_grads.items():
        assert close(grads[name], value), name
    assert {name for _, name in gpu.launched} == {
        "jean_triplane_pack", "jean_triplane", "jean_triplane_back", "jean_products_single", "jean_products_gather",
    }  # fmt: skip


def leaves_of(samples: int, frames: int = 2, together: bool = False):
    """A call of the operator with all gradients; ``together``: samples lie close to each other."""
    field, positions, _, _, frame = make(samples, frames)
    if together:
        positions = positions.mean(0) + 0.01 * (positions - positions.mean(0))
    tables, weights, planes, shading = pieces(field)
    smooth = [torch.randn(*shape) for shape in ((frames, 32), (frames, 64), (frames, 144, 3))]
    leaves = [t.detach().clone().requires_grad_() for t in (positions, *smooth, *tables, *weights)]
    prior = Prior((0.0, -1.5, 4.5), (8.5, 12.0, 10.5), field.relief)

    def run():
        specs = [replace(spec, table=leaf) for spec, leaf in zip(planes, leaves[4:], strict=False)]
        made = triplane_field(leaves[0], frame, *leaves[1:4], specs, shading, leaves[4 + len(tables) :], prior)
        return made, torch.autograd.grad(made, leaves, [torch.ones_like(t) for t in made])

    return run, leaves


def test_samples_in_one_cell_are_added_up(monkeypatch):
    """Lanes add up the gradients of neighbours in one cell before the atomic addition."""
    run, _ = leaves_of(64, together=True)
    _, got = run()
    monkeypatch.setattr(triplane_op, "on_gpu", lambda tensor: False)
    _, want = run()
    for one, other in zip(got, want, strict=True):
        assert close(one, other)


def test_the_block_size_changes_no_bit(gpu, monkeypatch):
    """The CPU runs lanes in a fixed order; a GPU adds to tables and light in any order."""
    run, _ = leaves_of(70)
    seen = []
    for threads in (32, 128):
        monkeypatch.setattr(gpu, "threads", threads)
        values, grads = run()
        seen.append([*values, grads[0], *grads[1:3], *grads[-9:]])
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))


def test_rounds_of_few_samples_add_up(gpu, monkeypatch):
    run, _ = leaves_of(100)
    _, whole = run()
    monkeypatch.setattr(cuda_products, "SCRATCH_BYTES", 1)  # one tile of 32 samples a round
    gpu.launched.clear()
    _, parts = run()
    assert [name for _, name in gpu.launched].count("jean_triplane_back") == 4
    for one, other in zip(whole, parts, strict=True):
        assert (one - other).abs().max() <= 1e-5 * one.abs().max()


def test_no_samples_give_no_values_and_zero_gradients(gpu):
    values, grads = gradients(*make(0), "native")
    assert values["rgb"].shape == (0, 3) and values["density"].shape == (0,) and not gpu.launched
    assert all(bool((g == 0).all()) for g in grads.values())


def test_a_field_without_parts_has_no_gates():
    field, positions, condition, direction, frame = make(40)
    still = TriplaneField(12, 3, (field.low.tolist(), (field.low + field.size).tolist()), (), 4)
    _, got = gradients(still, positions, condition, direction, frame, "native")
    _, want = gradients(still, positions, condition, direction, frame, "reference")
    assert not any(name.startswith("gates") for name in got)
    for name, value in want.items():
        assert close(got[name], value), name


def test_nan_stays_nan_and_affects_no_other_sample():
    field, positions, condition, direction, frame = make(64)
    field.backend = Backend.resolve("native", "cpu")
    good = field(positions, condition, direction, frame)
    positions[5, 1] = torch.nan
    density, rgb = field(positions, condition, direction, frame)
    assert density[5].isnan() and rgb[5].isnan().all()
    keep = torch.arange(64) != 5
    assert torch.equal(density[keep], good[0][keep]) and torch.equal(rgb[keep], good[1][keep])
    (density.sum() + rgb.sum()).backward()
    assert field.first.weight.grad.isnan().any()  # and no gradient hides it


def test_the_operator_passes_opcheck():
    """Shapes of the fake implementation, and the registration of gradients."""
    _, leaves = leaves_of(33)
    field, _, _, _, frame = make(33, 2)
    tables, weights, planes, shading = pieces(field)
    layout = [n for p in (*planes, shading) for n in (p.height, p.width, *p.axes)][:-2]
    box = [x for p in (*planes, shading) for x in (*p.low, *p.size)] + [0.0, 0.0, 4.0, 8.0, 9.0, 10.0]
    still = [field.relief, torch.zeros(0)]
    tensors = [*still, *leaves[1:4], *weights, *tables]
    arguments = (leaves[0], frame.int(), tensors, layout, box, 0)
    results = torch.library.opcheck(
        torch.ops.jean.triplane.default, arguments, test_utils=("test_schema", "test_faketensor")
    )
    assert set(results.values()) == {"SUCCESS"}


def test_a_field_of_other_widths_is_an_error():
    field, positions, condition, direction, frame = make(4)
    wide = TriplaneField(12, 3, (field.low.tolist(), (field.low + field.size).tolist()), PARTS, 4, hidden=128)
    wide.backend = Backend.resolve("native", "cpu")
    with pytest.raises(ValueError, match="64 and 32 hidden"):
        wide(positions, condition, direction, frame)
