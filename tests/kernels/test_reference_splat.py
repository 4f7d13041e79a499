"""The readable rasteriser: values by hand, and gradients by finite differences."""

from __future__ import annotations

import math

import pytest
import torch

from jean.kernels import reference_splat as reference
from jean.kernels.reference_splat import SeenGaussians, splat
from tests.helpers.gaussians import NAMES, gaussians

FOCAL, DISTANCE = 100.0, 50.0


def one(opacity: float = 0.8, scale=(1.0, 1.0, 1.0), centre=(0.0, 0.0, 0.0), turn=(1.0, 0.0, 0.0, 0.0)):
    """A red Gaussian before a camera on the z axis, whose principal point is the middle of a picture of 21 px."""
    pose = torch.eye(3, 4, dtype=torch.float64)
    pose[2, 3] = DISTANCE
    lens = torch.tensor([FOCAL, 10.5, 10.5], dtype=torch.float64)
    colour = [0.5, 0.25, 0.0]
    values = ([centre], [scale], [turn], [opacity], [colour])
    return [*(torch.tensor(value, dtype=torch.float64) for value in values), pose, lens]


def test_one_gaussian_is_its_projected_normal_distribution():
    out = splat(SeenGaussians(*one()), (0, 0, 21, 21))
    variance = (FOCAL / DISTANCE) ** 2 + 0.3  # a standard deviation of 1 cm is 2 px
    for x, y in ((10, 10), (12, 10), (7, 14)):
        alpha = 0.8 * math.exp(-((x - 10) ** 2 + (y - 10) ** 2) / (2 * variance))
        assert out.opacity[y, x] == pytest.approx(alpha)
        assert out.colour[y, x].tolist() == pytest.approx([0.5 * alpha, 0.25 * alpha, 0.0])
        assert out.depth[y, x] == pytest.approx(DISTANCE * alpha)
    assert out.radii.item() == pytest.approx(math.sqrt(2 * math.log(0.8 * 255) * variance))
    assert (out.opacity[out.opacity > 0] >= 1 / 255).all() and (out.opacity == 0).any()


def test_a_turned_gaussian_is_long_along_its_axis():
    """90° about z brings the long x axis to y."""
    half = math.sqrt(0.5)
    out = splat(SeenGaussians(*one(scale=(2.0, 0.5, 0.5), turn=(half, 0.0, 0.0, half))), (0, 0, 21, 21))
    assert out.opacity[14, 10] == pytest.approx(0.8 * math.exp(-16 / (2 * 16.3)))
    assert out.opacity[10, 12] == pytest.approx(0.8 * math.exp(-4 / (2 * 1.3)))


def test_a_gaussian_off_the_axis_is_sheared_by_perspective():
    """Its depth of 2 cm appears along x with the slope x / z = 0.1, so its variance is (2 · 0.1 · 2)² px² larger."""
    out = splat(SeenGaussians(*one(scale=(1.0, 1.0, 2.0), centre=(5.0, 0.0, 0.0))), (0, 0, 31, 21))
    assert out.opacity[10, 23] == pytest.approx(0.8 * math.exp(-9 / (2 * (4.3 + 0.16))))
    assert out.opacity[13, 20] == pytest.approx(0.8 * math.exp(-9 / (2 * 4.3)))


def test_the_nearer_gaussian_covers_the_farther_one():
    near, far = one(0.6, centre=(0.0, 0.0, -5.0)), one(0.9)
    both = [torch.cat([a, b]) for a, b in zip(far[:5], near[:5], strict=True)]
    both[4][1] = torch.tensor([0.0, 0.0, 1.0])
    out = splat(SeenGaussians(*both, *near[5:]), (0, 0, 21, 21))
    assert out.colour[10, 10].tolist() == pytest.approx([0.4 * 0.9 * 0.5, 0.4 * 0.9 * 0.25, 0.6])
    assert out.opacity[10, 10] == pytest.approx(1 - 0.4 * 0.1)
    assert out.depth[10, 10] == pytest.approx(0.6 * 45 + 0.4 * 0.9 * 50)


def test_alphas_have_a_limit_and_an_opaque_pixel_takes_no_more():
    layers = [one(1.0, centre=(0.0, 0.0, float(z))) for z in range(5)]
    stack = [torch.cat(tensors) for tensors in zip(*(layer[:5] for layer in layers), strict=True)]
    out = splat(SeenGaussians(*stack, *layers[0][5:]), (0, 0, 21, 21))
    # each lets a hundredth through; after the third the rest is below 10⁻⁴
    assert 1 - out.opacity[10, 10].item() == pytest.approx(1e-6, rel=1e-6)


def test_compensation_keeps_the_sum_of_a_small_gaussian():
    """Without it a Gaussian much smaller than a pixel becomes as strong as a large one."""
    small = one(0.9, scale=(0.05, 0.05, 0.05))
    plain, fair = (
        splat(SeenGaussians(*small), (0, 0, 21, 21)),
        splat(SeenGaussians(*small), (0, 0, 21, 21), compensate=True),
    )
    variance = (0.05 * FOCAL / DISTANCE) ** 2
    assert fair.opacity[10, 10] / plain.opacity[10, 10] == pytest.approx(variance / (variance + 0.3))


def test_a_window_is_a_part_of_the_picture():
    case = gaussians(60, dtype=torch.float64)
    whole, part = splat(SeenGaussians(*case), (-5, -5, 50, 50)), splat(SeenGaussians(*case), (9, 14, 21, 17))
    for name in ("colour", "opacity", "depth"):
        torch.testing.assert_close(getattr(part, name), getattr(whole, name)[19:36, 14:35])


@pytest.mark.parametrize("compensate", [False, True])
def test_gradients_are_those_of_finite_differences(compensate):
    case = [tensor.requires_grad_() for tensor in gaussians(3, 12, dtype=torch.float64, seed=3, scale=2.0)]

    def function(*inputs):
        out = splat(SeenGaussians(*inputs), (3, 2, 5, 6), compensate=compensate)
        return out.colour, out.opacity, out.depth

    assert torch.autograd.gradcheck(function, case, eps=1e-7, atol=1e-5)


def test_the_screen_gradient_is_the_sum_of_absolute_values_over_pixels():
    case = one(0.5)
    screen = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    out = splat(SeenGaussians(*case), (0, 0, 21, 21), screen=screen)
    out.opacity.sum().backward()  # of both signs: a sum of signed values is zero here
    variance, expected = 4.3, 0.0
    for x in range(21):
        for y in range(21):
            alpha = 0.5 * math.exp(-((x - 10) ** 2 + (y - 10) ** 2) / (2 * variance))
            expected += alpha * abs(x - 10) / variance if alpha >= 1 / 255 else 0.0
    assert screen.grad[0].tolist() == pytest.approx([expected, expected])


def test_shapes_that_do_not_fit_are_errors():
    case = gaussians(5)
    for index, name in enumerate(NAMES):
        wrong = [*case[:index], case[index][..., :-1], *case[index + 1 :]]
        if name not in ("centres", "colours"):
            with pytest.raises(ValueError, match=name):
                splat(SeenGaussians(*wrong), (0, 0, 8, 8))
    with pytest.raises(ValueError, match="window"):
        splat(SeenGaussians(*case), (0, 0, -1, 8))
    with pytest.raises(ValueError, match="screen"):
        splat(SeenGaussians(*case), (0, 0, 8, 8), screen=torch.zeros(5, 3))


def test_rotation_matrices_are_rotations():
    turns = reference.rotation_matrices(torch.randn(20, 4, generator=torch.Generator().manual_seed(0)).double())
    torch.testing.assert_close(turns @ turns.mT, torch.eye(3).double().expand(20, 3, 3))
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(20).double())
    assert (turns[0] - turns[0].T).abs().max() > 0.1
