"""Small rotations of the head, and corrected poses."""

from __future__ import annotations

import pytest
import torch

from jean.models.pose import correct_poses, rotation_matrices


@pytest.mark.parametrize("radians", [0.0, 1e-6, 9e-4, 1.1e-3, 0.1, 1.0, 3.0])
def test_rotation_matrices_equal_matrix_exponentials(radians):
    torch.manual_seed(0)
    turn = torch.nn.functional.normalize(torch.randn(20, 3), dim=-1) * radians
    results = []
    for function in (rotation_matrices, exponential):
        vectors = turn.clone().requires_grad_()
        matrix = function(vectors)
        (gradient,) = torch.autograd.grad((matrix * torch.arange(9.0).view(3, 3)).sum(), vectors)
        results.append((matrix.detach(), gradient))
    (ours, our_gradient), (expected, expected_gradient) = results
    assert torch.allclose(ours, expected, atol=1e-6)
    assert torch.allclose(our_gradient, expected_gradient, atol=1e-4) and our_gradient.abs().sum() > 0


def exponential(turn):
    zero = torch.zeros_like(turn[:, 0])
    x, y, z = turn.unbind(-1)
    return torch.linalg.matrix_exp(torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(-1, 3, 3))


def test_corrected_poses_turn_about_the_heads_origin_and_shift():
    pose = torch.eye(4).repeat(2, 1, 1)
    pose[:, :3, 3] = torch.tensor([0.0, 0.0, -50.0])
    turn, shift = torch.tensor([[0.0, torch.pi / 2, 0.0]] * 2), torch.tensor([[0.0] * 3, [1.0, 2.0, 3.0]])
    corrected = correct_poses(pose, turn, shift)
    assert torch.allclose(corrected[0, :3, 3], torch.tensor([-50.0, 0.0, 0.0]), atol=1e-4)
    assert torch.allclose(corrected[1, :3, 3] - corrected[0, :3, 3], torch.tensor([1.0, 2.0, 3.0]), atol=1e-5)
