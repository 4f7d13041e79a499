"""Neck and shoulders: a picture that follows the head.

The torso moves little in depth, so a flat layer behind the head, bent by the head's pose, is
enough and costs one lookup a pixel instead of one a sample.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from jean.kernels.backend import Backend
from jean.kernels.dispatch import FrameTorso, PlaneSpec, torso_layer
from jean.models.head.base import ParameterGroup
from jean.models.head.planes import PLANE_EPS, PLANE_RATE, FeaturePlane, Kept


class TorsoLayer(nn.Module):
    """Colour and opacity of the torso at image positions, given the head's pose.

    Args:
        pose_width: width of the pose vector.
        channels: features in a plane's cell.
        reach: largest shift that the pose can cause, share of the image.

    Attributes:
        backend: whether compiled kernels or the torch of this file compute the layer.
    """

    backend: Backend
    operations = ("torso", "roughness")

    def __init__(self, pose_width: int = 6, channels: int = 16, reach: float = 0.1):
        super().__init__()
        self.backend = Backend.default()
        self.reach = reach
        self._multiplied = Kept()  # planes times the layer that reads them
        self.coarse = FeaturePlane(48, 48, channels)
        self.fine = FeaturePlane(160, 160, channels)
        hidden, shift = nn.Linear(2 + pose_width, 32), nn.Linear(32, 2)
        nn.init.zeros_(shift.weight)
        nn.init.zeros_(shift.bias)
        self.bend = nn.Sequential(hidden, nn.ReLU(), shift)
        self.shade = nn.Sequential(nn.Linear(2 * channels + pose_width, 48), nn.ReLU(), nn.Linear(48, 4))

    def forward(self, coordinates: Tensor, pose: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """rgb [R, 3] and opacity [R], both in [0, 1].

        Args:
            coordinates: [R, 2] image positions, 0 to 1.
            pose: [F, pose_width] head poses of F frames, standardised.
            frame: [R] int, each position's frame.
        """
        if self.backend.uses_kernels("torso", coordinates):
            return self._native(coordinates, pose, frame)
        pose = pose[frame]
        bent = coordinates + self.reach * torch.tanh(self.bend(torch.cat([coordinates * 2 - 1, pose], -1)))
        across, down = bent[:, 0], bent[:, 1]
        features = torch.cat([self.coarse(across, down), self.fine(across, down)], -1)
        out = self.shade(torch.cat([features, pose], -1))
        return torch.sigmoid(out[:, :3]), torch.sigmoid(out[:, 3])

    def _native(self, coordinates: Tensor, pose: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """The same from the compiled kernels; the pose's share of both layers, constant over a frame, is added here."""
        planes = (self.coarse, self.fine)
        layer, _, last = (cast(nn.Linear, module) for module in self.shade)
        first, _, second = (cast(nn.Linear, module) for module in self.bend)
        features = sum(plane.table.shape[1] for plane in planes)
        bend_bias = nn.functional.linear(pose, first.weight[:, 2:], first.bias)
        bias = nn.functional.linear(pose, layer.weight[:, features:], layer.bias)
        return torso_layer(
            coordinates,
            frame,
            [plane.table for plane in planes],
            [(plane.height, plane.width) for plane in planes],
            [
                *(first.weight[:, :2].T, bend_bias.to(pose), second.weight, second.bias),
                *(layer.weight[:, :features], bias.to(pose), last.weight, last.bias),
            ],
            self.reach,
        )

    def of_pose(self, pose: Tensor) -> FrameTorso:
        """This layer under one pose [pose_width], for pictures: what the pose decides becomes biases."""
        planes, channels = (self.coarse, self.fine), self.coarse.table.shape[1]
        layer, _, last = (cast(nn.Linear, module) for module in self.shade)
        first, _, second = (cast(nn.Linear, module) for module in self.bend)

        def multiplied() -> list[PlaneSpec]:
            weights = layer.weight.split(channels, 1)
            return [
                PlaneSpec(p.table @ w.T, p.height, p.width, (0, 1), (0.0, 0.0), (1.0, 1.0))
                for p, w in zip(planes, weights, strict=False)
            ]

        return FrameTorso(
            planes=self._multiplied.get((self.coarse.table, self.fine.table, layer.weight), multiplied),
            bend_first=first.weight[:, :2].T,
            bend_bias=first.bias + first.weight[:, 2:] @ pose,
            bend_second=second.weight,
            bend_second_bias=second.bias,
            bias=layer.bias + layer.weight[:, 2 * channels :] @ pose,
            last=last.weight,
            last_bias=last.bias,
            reach=self.reach,
        )

    def parameter_groups(self) -> list[ParameterGroup]:
        """The planes, which learn at a rate of their own."""
        return [ParameterGroup([self.coarse.table, self.fine.table], PLANE_RATE, PLANE_EPS)]

    def roughness(self) -> Tensor:
        """Smoothness prior."""
        return self.coarse.roughness(self.backend) + self.fine.roughness(self.backend)
