"""The smoothness prior's kernel against its readable torch."""

from __future__ import annotations

import pytest
import torch

from jean.kernels.backend import Backend
from jean.kernels.ops.roughness import roughness
from jean.models.head.planes import FeaturePlane
from tests.helpers.kernel_paths import path as path


@pytest.mark.parametrize("shape", [(2, 2, 1), (5, 3, 9), (12, 12, 9), (64, 48, 16), (208, 208, 16)])
def test_value_and_gradient_equal_torch(shape, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    torch.manual_seed(0)
    plane = FeaturePlane(*shape)
    results = []
    for backend in ("native", "reference"):
        plane.zero_grad()
        value = plane.roughness(Backend.resolve(backend, "cpu"))
        (3 * value).backward()
        results.append((value.detach(), plane.table.grad))
    (value, gradient), (expected, expected_gradient) = results
    assert torch.allclose(value, expected, rtol=1e-5, atol=0)
    assert (gradient - expected_gradient).abs().max() <= 1e-6 * expected_gradient.abs().max()


def test_gradient_in_double_precision():
    table = torch.randn(4 * 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: roughness(t, 4, 3), (table,))


def test_the_operator_passes_opcheck():
    table = torch.randn(20, 3, requires_grad=True)
    assert set(torch.library.opcheck(torch.ops.jean.roughness.default, (table, 4, 5, 0)).values()) == {"SUCCESS"}


def test_a_table_of_one_row_is_an_error():
    with pytest.raises(ValueError, match="one row"):
        roughness(torch.zeros(5, 3), 1, 5)


def test_any_number_of_threads_gives_the_same_bits():
    before, results = torch.get_num_threads(), []
    table = torch.randn(300 * 200, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    try:
        for threads in (1, 2, 7):
            torch.set_num_threads(threads)
            table.grad = None
            value = roughness(table, 300, 200)
            value.backward()
            results.append((value.detach(), table.grad))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))


def test_nan_stays_nan():
    table = torch.zeros(30, 4)
    table[7, 2] = torch.nan
    assert roughness(table, 5, 6).isnan()
