"""Small turns of the head and corrected poses."""

from __future__ import annotations

import pytest
import torch

from jean.models.pose import corrected, rotations


@pytest.mark.parametrize("radians", [0.0, 1e-6, 9e-4, 1.1e-3, 0.1, 1.0, 3.0])
def test_rotations_are_exponentials_of_cross_products(radians):
    torch.manual_seed(0)
    turn = torch.nn.functional.normalize(torch.randn(20, 3), dim=-1) * radians
    made = []
    for function in (rotations, exponential):
        given = turn.clone().requires_grad_()
        matrix = function(given)
        (slopes,) = torch.autograd.grad((matrix * torch.arange(9.0).view(3, 3)).sum(), given)
        made += [matrix.detach(), slopes]
    assert torch.allclose(made[0], made[2], atol=1e-6)
    assert torch.allclose(made[1], made[3], atol=1e-4) and made[1].abs().sum() > 0


def exponential(turn):
    zero = torch.zeros_like(turn[:, 0])
    x, y, z = turn.unbind(-1)
    return torch.linalg.matrix_exp(torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(-1, 3, 3))


def test_a_corrected_head_turns_about_its_origin_and_moves():
    pose = torch.eye(4).repeat(2, 1, 1)
    pose[:, :3, 3] = torch.tensor([0.0, 0.0, -50.0])
    turned = corrected(pose, torch.tensor([[0.0, torch.pi / 2, 0.0]] * 2), torch.tensor([[0.0] * 3, [1.0, 2.0, 3.0]]))
    assert torch.allclose(turned[0, :3, 3], torch.tensor([-50.0, 0.0, 0.0]), atol=1e-4)
    assert torch.allclose(turned[1, :3, 3] - turned[0, :3, 3], torch.tensor([1.0, 2.0, 3.0]), atol=1e-5)
