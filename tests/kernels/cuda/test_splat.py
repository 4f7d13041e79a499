"""The CUDA rasteriser, run on the CPU, against readable torch and the CPU kernels."""

from __future__ import annotations

import pytest
import torch

from jean.kernels import reference_splat as reference
from jean.kernels.cuda import splat as cuda_splat
from jean.kernels.ops import splat as splat_op
from jean.kernels.ops.splat import splat
from tests.helpers.cuda_emulator import emulator as emulator
from tests.helpers.gaussians import NAMES, gaussians
from tests.kernels.ops.test_splat import assert_equal, results


@pytest.fixture
def on_card(emulator, monkeypatch):
    """``splat`` with the CUDA kernels; tensors that they do not write are NaN."""
    empty = torch.Tensor.new_empty

    def unwritten(tensor, *shape, **options):
        made = empty(tensor, *shape, **options)
        return made.fill_(torch.nan) if made.is_floating_point() else made.fill_(2**30)

    monkeypatch.setattr(torch.Tensor, "new_empty", unwritten)
    monkeypatch.setattr(splat_op, "on_gpu", lambda tensor: True)
    monkeypatch.setattr(cuda_splat, "Launcher", lambda device: emulator)


@pytest.mark.parametrize("compensate", [False, True])
@pytest.mark.parametrize(("count", "channels"), [(1, 3), (300, 3), (60, 7)])
def test_values_and_gradients_equal_the_reference(count, channels, compensate, on_card):
    case = gaussians(count, channels=channels)
    got, want = (results(function, case, compensate=compensate) for function in (splat, reference.splat))
    assert_equal(got, want, 4e-6)


def test_more_gaussians_than_a_tile_holds_at_once(on_card):
    """Several rounds through a tile's list, and pixels that are opaque long before its end."""
    case = gaussians(4000, 30, scale=0.3)
    case[3][:] = case[3] * 0.3
    got, want = (results(function, case, (5, 5, 20, 18)) for function in (splat, reference.splat))
    assert (got[0].opacity.detach() > 0.9999).any()
    assert_equal(got, want, 2e-5)


@pytest.mark.parametrize("window", [(0, 0, 0, 5), (500, 0, 20, 20)])
def test_windows_without_gaussians_are_empty(window, on_card):
    got = results(splat, gaussians(50), window)
    assert got[0].colour.shape == (window[3], window[2], 3) and (got[0].radii == 0).all()
    assert all((value == 0).all() for value in (got[0].colour, got[0].opacity, *got[1].values()))


def test_no_gaussians_give_an_empty_picture(on_card):
    got = results(splat, gaussians(0))
    assert (got[0].opacity == 0).all() and (got[0].colour == 0).all() and (got[1]["intrinsics"] == 0).all()


@pytest.mark.parametrize("which", range(5))
def test_gaussians_that_are_not_finite_affect_no_other(which, on_card):
    case = gaussians(64)
    keep = torch.arange(64) % 9 != 4
    case[which][~keep] = torch.nan
    got, want = (results(function, case) for function in (splat, reference.splat))
    assert (got[0].radii[~keep] == 0).all() and all((got[1][name][~keep] == 0).all() for name in NAMES[:5])
    assert_equal(got, want, 4e-6)


def test_equal_depths_and_gaussians_behind_the_camera(on_card):
    case = gaussians(90)
    case[0] = case[0][:6].repeat(15, 1)
    case[0][::7] *= 40
    got, want = (results(function, case, near_cm=30.0) for function in (splat, reference.splat))
    assert (got[0].radii == 0).any()
    assert_equal(got, want, 1e-5)
