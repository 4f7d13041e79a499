"""Head poses as inputs of the model, and small corrections of poses."""

from __future__ import annotations

import torch
from torch import Tensor


def view_directions(camera_to_world: Tensor) -> Tensor:
    """Unit vectors [F, 3] from the head's origin to the camera: the head pose as viewing direction d (section 8.4.2).

    Args:
        camera_to_world: [F, 4, 4].
    """
    position = camera_to_world[:, :3, 3]
    return position / position.norm(dim=-1, keepdim=True)


def pose_vectors(camera_to_world: Tensor) -> Tensor:
    """Head poses as vectors [F, 6]: position of the head's origin in the camera (cm), and three rotation entries.

    The entries are off-diagonal elements of the rotation matrix. Unlike angles, they are smooth in the pose everywhere.

    Args:
        camera_to_world: [F, 4, 4].
    """
    rotation = camera_to_world[:, :3, :3].transpose(1, 2)
    translation = -(rotation @ camera_to_world[:, :3, 3:])[..., 0]
    return torch.cat([translation, rotation[:, 0, 1:2], rotation[:, 0, 2:3], rotation[:, 1, 2:3]], -1)


def correct_poses(camera_to_world: Tensor, turn: Tensor, shift: Tensor) -> Tensor:
    """Applies a small rotation about the head's origin and a small shift to poses.

    Args:
        camera_to_world: [F, 4, 4].
        turn: rotation vectors in head space, [F, 3], radians.
        shift: [F, 3], head space, cm.

    Returns:
        camera_to_world of the corrected poses, [F, 4, 4].
    """
    top = rotation_matrices(turn) @ camera_to_world[:, :3]
    top = torch.cat([top[:, :, :3], top[:, :, 3:] + shift[:, :, None]], -1)
    return torch.cat([top, camera_to_world[:, 3:]], 1)


def rotation_matrices(turn: Tensor) -> Tensor:
    """Rotation matrices [F, 3, 3] of rotation vectors [F, 3], radians (Rodrigues' formula).

    Values and gradients are finite at zero rotation too.
    """
    squared = turn.square().sum(-1)[:, None, None]
    # small angles: the Taylor series is exact in single precision, and its gradients contain no 0 / 0
    small = squared < 1e-6
    angle = squared.masked_fill(small, 1.0).sqrt()
    first = torch.where(small, 1 - squared / 6, torch.sin(angle) / angle)
    second = torch.where(small, 0.5 - squared / 24, (1 - torch.cos(angle)) / angle.square())
    zero = torch.zeros_like(turn[:, 0])
    x, y, z = turn.unbind(-1)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(-1, 3, 3)
    return torch.eye(3, dtype=turn.dtype, device=turn.device) + first * cross + second * (cross @ cross)
