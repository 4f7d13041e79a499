"""Head poses as the model takes them, and small corrections to them."""

from __future__ import annotations

import torch
from torch import Tensor


def view_directions(camera_to_world: Tensor) -> Tensor:
    """[F, 3] unit vectors from the head's origin to the camera: the head pose as d (section 8.4.2)."""
    position = camera_to_world[:, :3, 3]
    return position / position.norm(dim=-1, keepdim=True)


def pose_vectors(camera_to_world: Tensor) -> Tensor:
    """[F, 6]: where the head's origin lies in the camera (cm) and two of its axes' slants.

    Smooth in the pose everywhere, unlike angles.
    """
    rotation = camera_to_world[:, :3, :3].transpose(1, 2)
    translation = -(rotation @ camera_to_world[:, :3, 3:])[..., 0]
    return torch.cat([translation, rotation[:, 0, 1:2], rotation[:, 0, 2:3], rotation[:, 1, 2:3]], -1)


def corrected(camera_to_world: Tensor, turn: Tensor, shift: Tensor) -> Tensor:
    """Poses [F, 4, 4] after a small turn of the head about its origin and a shift of the head.

    Args:
        turn: [F, 3], rotation vectors in head space, radians.
        shift: [F, 3], head space, cm.
    """
    top = rotations(turn) @ camera_to_world[:, :3]
    top = torch.cat([top[:, :, :3], top[:, :, 3:] + shift[:, :, None]], -1)
    return torch.cat([top, camera_to_world[:, 3:]], 1)


def rotations(turn: Tensor) -> Tensor:
    """Matrices [F, 3, 3] of rotation vectors [F, 3], radians (Rodrigues' formula), also where there is no turn."""
    squared = turn.square().sum(-1)[:, None, None]
    small = squared < 1e-6  # there the series is exact in single precision, and its gradients have no 0 / 0
    angle = squared.masked_fill(small, 1.0).sqrt()
    first = torch.where(small, 1 - squared / 6, torch.sin(angle) / angle)
    second = torch.where(small, 0.5 - squared / 24, (1 - torch.cos(angle)) / angle.square())
    zero = torch.zeros_like(turn[:, 0])
    x, y, z = turn.unbind(-1)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(-1, 3, 3)
    return torch.eye(3, dtype=turn.dtype, device=turn.device) + first * cross + second * (cross @ cross)
