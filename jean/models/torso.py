"""Neck and shoulders: a picture that follows the head.

The torso moves little in depth, so a flat layer behind the head, bent by the head's pose, is
enough and costs one lookup a pixel instead of one a sample.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jean.models.planes import FeaturePlane


class TorsoLayer(nn.Module):
    """Colour and opacity of the torso at image positions, given the head's pose.

    Args:
        pose_width: width of the pose vector.
        channels: features in a plane's cell.
        reach: largest shift that the pose can cause, share of the image.
    """

    def __init__(self, pose_width: int = 6, channels: int = 16, reach: float = 0.1):
        super().__init__()
        self.reach = reach
        self.coarse = FeaturePlane(48, 48, channels)
        self.fine = FeaturePlane(160, 160, channels)
        hidden, shift = nn.Linear(2 + pose_width, 32), nn.Linear(32, 2)
        nn.init.zeros_(shift.weight)
        nn.init.zeros_(shift.bias)
        self.bend = nn.Sequential(hidden, nn.ReLU(), shift)
        self.shade = nn.Sequential(nn.Linear(2 * channels + pose_width, 48), nn.ReLU(), nn.Linear(48, 4))

    def forward(self, coordinates: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
        """rgb [R, 3] and opacity [R], both in [0, 1].

        Args:
            coordinates: [R, 2] image positions, 0 to 1.
            pose: [R, pose_width] head pose, standardised.
        """
        bent = coordinates + self.reach * torch.tanh(self.bend(torch.cat([coordinates * 2 - 1, pose], -1)))
        across, down = bent[:, 0], bent[:, 1]
        features = torch.cat([self.coarse(across, down), self.fine(across, down)], -1)
        out = self.shade(torch.cat([features, pose], -1))
        return torch.sigmoid(out[:, :3]), torch.sigmoid(out[:, 3])

    def roughness(self) -> Tensor:
        """Smoothness prior."""
        return self.coarse.roughness() + self.fine.roughness()
