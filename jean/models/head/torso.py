"""Neck and shoulders: a flat layer behind the head, deformed by the head's pose.

The torso moves little in depth, so a flat layer is enough. It costs one lookup per pixel instead of one per sample.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from jean.kernels.backend import Backend
from jean.kernels.dispatch import FrameTorso, PlaneSpec, torso_layer
from jean.models.head.base import ParameterGroup
from jean.models.head.planes import PLANE_EPS, PLANE_RATE, FeaturePlane, VersionedCache

CELLS = 64  # along each side of an image, of which the ones without torso are found first
TRANSPARENT = 0.004  # opacity that no 8-bit image shows


class TorsoLayer(nn.Module):
    """Colour and opacity of the torso at image positions, given the head's pose.

    Args:
        pose_width: width of the pose vector.
        channels: features per cell of a plane.
        reach: largest shift that the pose can cause, as a fraction of the image's side.

    Attributes:
        backend: whether compiled kernels or the torch code of this file compute the layer.
        operations: names of the operations that the layer may compute by kernels.
    """

    backend: Backend
    operations = ("torso", "roughness")

    def __init__(self, pose_width: int = 6, channels: int = 16, reach: float = 0.1):
        super().__init__()
        self.backend = Backend.default()
        self.reach = reach
        self._premultiplied = VersionedCache()  # planes times the first layer of ``shade``
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
            coordinates: image positions, [R, 2], in [0, 1].
            pose: head poses of F frames, [F, pose_width], standardised.
            frame: [R] int, index of each position's frame, 0 to F - 1.
        """
        if self.backend.uses_kernels("torso", coordinates):
            return self._native(coordinates, pose, frame)
        pose = pose[frame]
        deformed = coordinates + self.reach * torch.tanh(self.bend(torch.cat([coordinates * 2 - 1, pose], -1)))
        across, down = deformed[:, 0], deformed[:, 1]
        features = torch.cat([self.coarse(across, down), self.fine(across, down)], -1)
        out = self.shade(torch.cat([features, pose], -1))
        return torch.sigmoid(out[:, :3]), torch.sigmoid(out[:, 3])

    def _native(self, coordinates: Tensor, pose: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """``forward`` by the compiled kernels, which take the pose as biases per frame."""
        planes = (self.coarse, self.fine)
        layer, _, last = (cast(nn.Linear, module) for module in self.shade)
        first, _, second = (cast(nn.Linear, module) for module in self.bend)
        features = sum(plane.table.shape[1] for plane in planes)
        deformation_bias = nn.functional.linear(pose, first.weight[:, 2:], first.bias)
        bias = nn.functional.linear(pose, layer.weight[:, features:], layer.bias)
        return torso_layer(
            coordinates,
            frame,
            [plane.table for plane in planes],
            [(plane.height, plane.width) for plane in planes],
            [
                *(first.weight[:, :2].T, deformation_bias.to(pose), second.weight, second.bias),
                *(layer.weight[:, :features], bias.to(pose), last.weight, last.bias),
            ],
            self.reach,
        )

    @torch.no_grad()
    def shows(self, coordinates: Tensor, pose: Tensor) -> Tensor:
        """Whether the torso may show at image positions [R, 2] under one pose [1, pose_width]: bool [R].

        The layer is computed at the middles of ``CELLS``² cells. Cells in which it is transparent, and whose neighbours
        are, show no torso.
        """
        middles = (torch.arange(CELLS, device=pose.device) + 0.5) / CELLS
        down, across = torch.meshgrid(middles, middles, indexing="ij")
        grid = torch.stack([across.reshape(-1), down.reshape(-1)], -1)
        opacity = self(grid, pose, torch.zeros(len(grid), dtype=torch.long, device=pose.device))[1]
        near = nn.functional.max_pool2d(opacity.view(1, 1, CELLS, CELLS), 3, 1, 1).view(-1) > TRANSPARENT
        columns, rows = (coordinates * CELLS).long().clamp_(0, CELLS - 1).unbind(-1)
        return near[rows * CELLS + columns]

    def frame_torso(self, pose: Tensor) -> FrameTorso:
        """The layer under one pose, as arguments of the rendering kernels; the pose becomes biases.

        Args:
            pose: [pose_width], standardised.
        """
        planes, channels = (self.coarse, self.fine), self.coarse.table.shape[1]
        layer, _, last = (cast(nn.Linear, module) for module in self.shade)
        first, _, second = (cast(nn.Linear, module) for module in self.bend)

        def premultiplied() -> list[PlaneSpec]:
            weights = layer.weight.split(channels, 1)
            return [
                PlaneSpec(p.table @ w.T, p.height, p.width, (0, 1), (0.0, 0.0), (1.0, 1.0))
                for p, w in zip(planes, weights, strict=False)
            ]

        return FrameTorso(
            planes=self._premultiplied.get((self.coarse.table, self.fine.table, layer.weight), premultiplied),
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
        """The planes, which have their own learning rate."""
        return [ParameterGroup([self.coarse.table, self.fine.table], PLANE_RATE, PLANE_EPS)]

    def roughness(self) -> Tensor:
        """Smoothness prior, summed over both planes."""
        return self.coarse.roughness(self.backend) + self.fine.roughness(self.backend)
