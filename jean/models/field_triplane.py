"""The fast field: feature planes of several resolutions and a small MLP.

Speech and expression act where mouth, eyes and brows are, and nowhere else: each of these parts has a
fine plane of features that the condition gates. All other motion is the landmarks' (``face_warp``).
A condition that may change every place explains light, pose errors and hair by whatever expression came
with them in a short clip, and a head so trained falls apart under another clip's expression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from jean.models.encoding import spread_over
from jean.models.face_warp import Corners
from jean.models.head_prior import RELIEF_CELLS, head_prior
from jean.models.planes import FeaturePlane

# (first axis, second axis, cells along each): the frontal plane needs the most detail, since a
# talking-head video is seen from the front; depth planes that fine would only hold streaks.
STATIC_PLANES = ((0, 1, 64, 64), (0, 1, 208, 208), (2, 1, 48, 64), (0, 2, 64, 48))
SHADING_CELLS = 12  # lights are far and skin is smooth: shading changes slowly over the face


@dataclass(frozen=True)
class Part:
    """A rectangle of the frontal plane whose looks change with the condition.

    Attributes:
        low: its corner (x, y), head space, cm; size: its extent, cm.
        cells: along x and y.
        skip: how many of the first values of e_in it does not see.
    """

    low: tuple[float, float]
    size: tuple[float, float]
    cells: tuple[int, int]
    skip: int = 0


class TriplaneField(nn.Module):
    """F_Θ of Eq. 5 with tri-plane features in place of the encoded position.

    Args:
        condition_width: width of e_in.
        direction_width: width of the viewing direction.
        box: (low, high) corners of the volume in head space, cm.
        parts: where speech and expression act.
        code_width: the last values of e_in, a training frame's code, which acts everywhere.
        channels: features in a plane's cell.
        hidden: width of the MLP.
    """

    low: Tensor
    size: Tensor
    relief: Tensor

    def __init__(
        self,
        condition_width: int,
        direction_width: int,
        box: Corners,
        parts: Sequence[Part] = (),
        code_width: int = 0,
        channels: int = 16,
        hidden: int = 64,
    ):
        super().__init__()
        self.register_buffer("low", torch.tensor(box[0]))
        self.register_buffer("size", torch.tensor(box[1]) - torch.tensor(box[0]))
        self.register_buffer("relief", torch.zeros(RELIEF_CELLS**2, 1))
        self.parts = tuple(parts)
        self.static = nn.ModuleList(FeaturePlane(h, w, channels) for _, _, w, h in STATIC_PLANES)
        self.moving = nn.ModuleList(
            FeaturePlane(part.cells[1], part.cells[0], channels, 0.05, "zero") for part in self.parts
        )
        self.gates = nn.ModuleList(nn.Linear(condition_width - part.skip, channels) for part in self.parts)
        self.code_width = code_width
        if code_width:
            self.bias = nn.Linear(code_width, hidden, bias=False)
            nn.init.normal_(self.bias.weight, std=0.02)
        self.first = nn.Linear(channels * (len(STATIC_PLANES) + len(self.parts)), hidden)
        self.second = nn.Linear(hidden, hidden)
        self.density = nn.Linear(hidden, 1)
        self.colour = nn.Linear(hidden, hidden // 2)
        self.rgb = nn.Linear(hidden // 2, 3)
        self.shading = FeaturePlane(SHADING_CELLS, SHADING_CELLS, 3 * direction_width, 0.0)

    def forward(self, positions: Tensor, condition: Tensor, direction: Tensor, frame: Tensor):
        """Density and colour.

        Args:
            positions: [N, 3], head space, cm.
            condition: [F, condition_width], e_in of F frames.
            direction: [F, direction_width], viewing direction of F frames, standardised.
            frame: [N] int, to which of the F frames a position belongs.

        Returns:
            density [N], not negative, per cm, and rgb [N, 3] in [0, 1].
        """
        unit = ((positions - self.low) / self.size).unbind(-1)
        features = [p(unit[a], unit[b]) for p, (a, b, _, _) in zip(self.static, STATIC_PLANES, strict=True)]
        of_frame = spread_over(frame, len(condition))
        for plane, gate, part in zip(self.moving, self.gates, self.parts, strict=True):
            across, down = ((positions[:, i] - part.low[i]) / part.size[i] for i in (0, 1))
            features.append(plane(across, down) * of_frame(gate(condition[:, part.skip :])))
        hidden = self.first(torch.cat(features, -1))
        if self.code_width:
            hidden = hidden + of_frame(self.bias(condition[:, -self.code_width :]))
        hidden = functional.relu(hidden)
        hidden = functional.relu(self.second(hidden))
        density = torch.exp(
            (self.density(hidden)[:, 0] + head_prior(positions, (unit[0], unit[1]), self.relief)).clamp(-12.0, 6.0)
        )
        colour = functional.relu(self.colour(hidden))
        # the head turns under lights that stand still: the change of colour is linear in the pose, place by place
        slopes = self.shading(unit[0], unit[1]).view(len(positions), 3, -1)
        light = (slopes * of_frame(direction)[:, None]).sum(-1)
        return density, torch.sigmoid(self.rgb(colour) + light)

    def roughness(self) -> Tensor:
        """Smoothness prior over all planes."""
        return torch.stack([plane.roughness() for plane in (*self.static, *self.moving, self.shading)]).sum()

    def movement(self) -> Tensor:
        """Mean square of the moving planes: what is not needed shall not move."""
        if not self.parts:
            return self.first.weight.new_zeros(())
        return torch.stack([plane.get_parameter("table").square().mean() for plane in self.moving]).sum()
