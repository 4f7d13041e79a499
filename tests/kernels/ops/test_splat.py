"""Rasterised Gaussians by the compiled kernels against readable torch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from jean.errors import JeanError
from jean.kernels import dispatch
from jean.kernels import reference_splat as reference
from jean.kernels.backend import Backend
from jean.kernels.ops.splat import MAX_COLOURS, MAX_SIDE_PX, splat
from jean.kernels.reference_splat import SeenGaussians
from tests.helpers.gaussians import NAMES, gaussians
from tests.helpers.kernel_paths import path as path

WINDOW = (3, -2, 40, 37)  # neither whole tiles nor all within the picture


def results(function, case: list[Tensor], window=WINDOW, flow=(1.0, 2.0, 0.05), **options):
    """Outputs and gradients of all inputs and of ``screen``."""
    inputs = [tensor.clone().requires_grad_() for tensor in case]
    screen = torch.zeros(len(case[0]), 2, dtype=case[0].dtype, requires_grad=True)
    out = function(SeenGaussians(*inputs), window, screen=screen, **options)
    weight = torch.linspace(-1, 1, out.colour.numel(), dtype=out.colour.dtype).view_as(out.colour)
    loss = flow[0] * (out.colour * weight).sum()
    if weight.numel():
        loss = loss + flow[1] * (out.opacity * weight[..., 0]).sum() + flow[2] * (out.depth * weight[..., -1]).sum()
    gradients = torch.autograd.grad(loss, [*inputs, screen])
    return out, dict(zip((*NAMES, "screen"), gradients, strict=True))


def assert_equal(got, want, limit: float):
    for name in ("colour", "opacity", "depth", "radii"):
        value, expected = getattr(got[0], name).detach(), getattr(want[0], name).detach()
        assert value.shape == expected.shape
        scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
        assert not expected.numel() or (value - expected).abs().max() <= limit * scale, name
    for name, expected in want[1].items():
        if expected.numel():
            error = (got[1][name] - expected).abs().max()
            assert error <= 10 * limit * expected.abs().max() + 1e-12, (name, error)


@pytest.mark.parametrize("compensate", [False, True])
@pytest.mark.parametrize(("count", "channels"), [(1, 3), (200, 1), (300, 3), (100, 4), (60, MAX_COLOURS)])
def test_values_and_gradients_equal_the_reference(count, channels, compensate, path):
    case = gaussians(count, channels=channels)
    got = results(splat, case, compensate=compensate, target=path)
    assert (got[0].radii > 0).sum() >= 0.9 * count
    assert_equal(got, results(reference.splat, case, compensate=compensate), 4e-6)


def test_values_and_gradients_equal_the_reference_in_double_precision():
    for compensate in (False, True):
        case = gaussians(250, dtype=torch.float64, seed=1)
        got, want = (results(f, case, compensate=compensate) for f in (splat, reference.splat))
        assert_equal(got, want, 1e-13)


def test_gradients_in_double_precision():
    case = [tensor.requires_grad_() for tensor in gaussians(3, 12, dtype=torch.float64, seed=3, scale=2.0)]

    def function(*inputs):
        out = splat(SeenGaussians(*inputs), (3, 2, 5, 6), compensate=True)
        return out.colour, out.opacity, out.depth

    assert torch.autograd.gradcheck(function, case, eps=1e-7, atol=1e-5)


def test_the_operator_passes_opcheck():
    case = [tensor.requires_grad_() for tensor in gaussians(7, 10, dtype=torch.float64)]
    screen = torch.zeros(7, 2, dtype=torch.float64, requires_grad=True)
    arguments = (*case, screen, [0, 0, 10, 9], 1.0, False, 3)
    checked = torch.library.opcheck(torch.ops.jean.splat.default, arguments)
    assert set(checked.values()) == {"SUCCESS"}


@pytest.mark.parametrize("window", [(0, 0, 0, 5), (0, 0, 5, 0), (500, 0, 20, 20), (-40, -300, 33, 20)])
def test_windows_without_gaussians_are_empty(window, path):
    case = gaussians(50)
    got = results(splat, case, window, target=path)
    assert got[0].colour.shape == (window[3], window[2], 3) and (got[0].radii == 0).all()
    assert all((value == 0).all() for value in (got[0].colour, got[0].opacity, *got[1].values()))


def test_no_gaussians_give_an_empty_picture(path):
    got = results(splat, gaussians(0), target=path)
    assert got[0].radii.shape == (0,) and (got[0].opacity == 0).all() and got[0].colour.shape == (37, 40, 3)
    assert (got[1]["world_to_camera"] == 0).all() and (got[1]["intrinsics"] == 0).all()


def test_one_gaussian_may_cover_the_frame(path):
    case = gaussians(30)
    case[1][7], case[3][7] = 500.0, 0.9
    got = results(splat, case, (0, 0, 100, 90), target=path)
    assert (got[0].opacity > 0.3).all() and got[0].radii[7] > 1000
    assert_equal(got, results(reference.splat, case, (0, 0, 100, 90)), 1e-5)


def test_gaussians_behind_the_camera_are_not_drawn(path):
    case = gaussians(40)
    case[5][2, 3] = 2.0  # the camera is within the cloud
    got = results(splat, case, near_cm=3.0, target=path)
    depths = case[0] @ case[5][2, :3] + case[5][2, 3]
    assert (got[0].radii[depths <= 3] == 0).all() and (got[0].radii > 0).any()
    assert all((got[1][name][depths <= 3] == 0).all() for name in NAMES[:5])
    assert_equal(got, results(reference.splat, case, near_cm=3.0), 2e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 3e38])
@pytest.mark.parametrize("which", range(5))
def test_gaussians_that_are_not_finite_are_not_drawn_and_affect_no_other(which, bad, path):
    if which in (0, 2, 3, 4) and bad == 3e38:
        bad = torch.inf  # the largest numbers overflow in scales only
    case = gaussians(64)
    keep = torch.arange(64) % 9 != 4
    broken = [tensor.clone() for tensor in case]
    broken[which][~keep] = bad
    got = results(splat, broken, target=path)
    want = results(splat, [*(tensor[keep] for tensor in case[:5]), *case[5:]], target=path)
    assert torch.equal(got[0].colour, want[0].colour) and torch.equal(got[0].depth, want[0].depth)
    for name in (*NAMES[:5], "screen"):
        assert torch.equal(got[1][name][keep], want[1][name]) and (got[1][name][~keep] == 0).all(), name
    torch.testing.assert_close(got[1]["world_to_camera"], want[1]["world_to_camera"], rtol=1e-4, atol=1e-3)
    assert (got[0].radii[~keep] == 0).all()
    assert_equal(got, results(reference.splat, broken), 4e-6)


@pytest.mark.parametrize("which", [5, 6])
def test_a_camera_that_is_not_finite_draws_nothing(which, path):
    case = gaussians(20)
    case[which].view(-1)[0] = torch.nan
    got = results(splat, case, target=path)
    assert (got[0].opacity == 0).all() and all((gradient == 0).all() for gradient in got[1].values())


def test_a_rotation_of_length_zero_is_not_drawn(path):
    case = gaussians(20)
    case[2][3] = 0.0
    got = results(splat, case, target=path)
    assert got[0].radii[3] == 0 and all(gradient.isfinite().all() for gradient in got[1].values())
    assert_equal(got, results(reference.splat, case), 4e-6)


def test_equal_depths_keep_the_order_of_the_indices(path):
    case = gaussians(90)
    case[0] = case[0][:6].repeat(15, 1)
    assert_equal(results(splat, case, target=path), results(reference.splat, case), 4e-6)


def test_a_million_gaussians():
    case = gaussians(1_000_000, 48, scale=0.02)
    out = splat(SeenGaussians(*case), (0, 0, 48, 48))
    assert out.colour.isfinite().all() and 0.9 < out.opacity[10:38, 10:38].mean() <= 1


def test_any_number_of_threads_gives_the_same_bits(path):
    before, case, found = torch.get_num_threads(), gaussians(3000, 90), []
    try:
        for threads in (1, 2, 7):
            torch.set_num_threads(threads)
            out, gradients = results(splat, case, (0, 0, 90, 90), target=path)
            found.append([out.colour, out.opacity, out.depth, out.radii, *gradients.values()])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_outputs_without_a_gradient_count_as_zero(path):
    case = gaussians(50)
    inputs = [tensor.clone().requires_grad_() for tensor in case]
    splat(SeenGaussians(*inputs), WINDOW, target=path).opacity.sum().backward()
    assert (inputs[4].grad == 0).all() and inputs[0].grad.abs().sum() > 0
    want = [tensor.clone().requires_grad_() for tensor in case]
    reference.splat(SeenGaussians(*want), WINDOW).opacity.sum().backward()
    torch.testing.assert_close(inputs[0].grad, want[0].grad, rtol=1e-4, atol=1e-5)


def test_wrong_arguments_are_errors():
    case = gaussians(5, channels=MAX_COLOURS + 1)
    with pytest.raises(ValueError, match="colours"):
        splat(SeenGaussians(*case), WINDOW)
    with pytest.raises(ValueError, match="window"):
        splat(SeenGaussians(*gaussians(5)), (0, 0, 4, -4))
    with pytest.raises(ValueError, match="along a side"):
        splat(SeenGaussians(*gaussians(5)), (0, 0, 4, MAX_SIDE_PX + 1))
    with pytest.raises(JeanError, match="cannot run here"):
        splat(SeenGaussians(*gaussians(5)), WINDOW, target="abacus")


def test_pictures_of_different_sizes_follow_each_other(path):
    """Memory stays between calls; nothing of one call shows in the next."""
    cases = [
        (gaussians(count, size, seed=count), (0, 0, size, size))
        for count, size in ((500, 70), (3, 20), (0, 33), (900, 50))
    ]
    first = [splat(SeenGaussians(*case), window, target=path) for case, window in cases]
    again = [splat(SeenGaussians(*case), window, target=path) for case, window in reversed(cases)]
    for (case, window), one, two in zip(cases, first, reversed(again), strict=True):
        assert torch.equal(one.colour, two.colour) and torch.equal(one.depth, two.depth)
        torch.testing.assert_close(
            one.colour, reference.splat(SeenGaussians(*case), window).colour, rtol=1e-4, atol=1e-4
        )


def test_several_callers_at_once_each_get_their_own_picture():
    """``jean render`` draws frames side by side; every thread has its own memory."""
    cases = [gaussians(400, 60, seed=seed) for seed in range(4)]
    window = (0, 0, 60, 60)
    expected = [splat(SeenGaussians(*case), window).colour for case in cases]

    def same(number: int) -> bool:
        return all(
            torch.equal(splat(SeenGaussians(*cases[number]), window).colour, expected[number]) for _ in range(20)
        )

    with ThreadPoolExecutor(4) as callers:
        assert all(callers.map(same, range(4), timeout=120))


def test_many_large_gaussians_give_their_memory_back():
    case = gaussians(2000, 500)
    case[1].fill_(200.0)  # each in a thousand tiles
    inputs = [tensor.requires_grad_() for tensor in case]
    for _ in range(2):
        splat(SeenGaussians(*inputs), (0, 0, 500, 500)).opacity.sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in inputs)


def test_the_backend_decides_between_kernels_and_torch():
    case = gaussians(30)
    native, readable = (
        dispatch.splat(SeenGaussians(*case), WINDOW, Backend.resolve(choice, "cpu"), compensate=True)
        for choice in ("native", "reference")
    )
    assert torch.equal(native.colour, splat(SeenGaussians(*case), WINDOW, compensate=True).colour)
    assert torch.equal(readable.colour, reference.splat(SeenGaussians(*case), WINDOW, compensate=True).colour)
