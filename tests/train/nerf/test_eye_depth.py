"""The prior on the depth of the eyes."""

from __future__ import annotations

import pytest
import torch

from jean.kernels.reference import Composite
from jean.train.nerf.eye_depth import EyeDepth


def face():
    """A flat face at z = -4 with eyes at x = ±3, and landmarks all over it."""
    torch.manual_seed(0)
    shape = torch.cat([torch.rand(68, 2) * 10 - 5, torch.full((68, 1), -4.0)], 1)
    for first, x in ((36, -3.0), (42, 3.0)):
        shape[first : first + 6, :2] = torch.tensor([x, -2.0]) + torch.tensor(
            [[-1.4, 0], [-0.5, -0.4], [0.5, -0.4], [1.4, 0], [0.5, 0.4], [-0.5, 0.4]]
        )
    return shape.tolist()


def rays(eye_z: float, skin_z: float = -4.0, opacity: float = 1.0):
    """Rays along z through a grid over the face that hit at ``skin_z``, and at ``eye_z`` within the eyes' openings."""
    x, y = torch.meshgrid(torch.arange(-5, 5, 0.25), torch.arange(-4, 2, 0.25), indexing="ij")
    origins = torch.stack([x.flatten(), y.flatten(), torch.full((x.numel(),), -50.0)], 1)
    in_eye = ((origins[:, :2].abs() - torch.tensor([3.0, 2.0])) / torch.tensor([1.3, 0.45])).square().sum(1) < 1
    in_eye &= origins[:, 1] < 0
    depth = torch.where(in_eye, eye_z + 50.0, skin_z + 50.0)
    opacities = torch.full_like(depth, opacity)
    traced = (depth * opacities).requires_grad_()
    directions = torch.tensor([[0.0, 0.0, 1.0]]).expand_as(origins)
    return origins, directions, Composite(traced.new_zeros(len(traced), 3), opacities, traced, traced[:, None]), in_eye


@pytest.mark.parametrize(
    ("eye_z", "skin_z", "expected"),
    [(-4.0, -4.0, 0.0), (-3.92, -4.0, 0.0032), (-3.2, -4.0, 0.075), (-4.7, -5.5, 0.075)],
)
def test_the_loss_is_half_the_square_of_small_differences_to_the_skin_around_and_linear_in_large_ones(
    eye_z, skin_z, expected
):
    origins, directions, traced, _ = rays(eye_z, skin_z)
    assert float(EyeDepth(face(), torch.device("cpu")).loss(origins, directions, traced).detach()) == pytest.approx(
        expected, rel=0.03, abs=1e-4
    )


def test_only_rays_through_the_eyes_are_moved_and_towards_the_skin():
    origins, directions, traced, in_eye = rays(-3.2)
    EyeDepth(face(), torch.device("cpu")).loss(origins, directions, traced).backward()
    gradient = traced.depth.grad
    assert (gradient[in_eye] > 0).all(), "a descent reduces the depth of an eye that lies too deep"
    assert (gradient[~in_eye] == 0).all()


def test_no_eye_becomes_transparent_for_its_depth():
    origins, directions, _, in_eye = rays(-3.2)
    density = torch.full((len(origins), 1), 3.0, requires_grad=True)  # one interval of 1 cm at the depth of each ray
    opacity = 1 - torch.exp(-density)
    depth = rays(-3.2)[2].depth.detach()[:, None]
    traced = Composite(opacity.expand(-1, 3), opacity[:, 0], (opacity * depth)[:, 0], opacity)
    EyeDepth(face(), torch.device("cpu")).loss(origins, directions, traced).backward()
    assert density.grad[in_eye].abs().max() < 1e-6, "a ray with all its weight at one depth cannot change it"


def test_transparent_and_few_rays_teach_nothing():
    prior = EyeDepth(face(), torch.device("cpu"))
    origins, directions, traced, in_eye = rays(-3.2, opacity=0.3)
    assert float(prior.loss(origins, directions, traced).detach()) == 0
    origins, directions, traced, in_eye = rays(-3.2)
    few = in_eye.nonzero()[:, 0][:4]
    part = Composite(traced.channels[few], traced.opacity[few], traced.depth[few], traced.weights[few])
    assert float(prior.loss(origins[few], directions[few], part).detach()) == 0
