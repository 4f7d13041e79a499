"""The fast field: feature planes of several resolutions and a small MLP.

Speech and expression act in two places, both constant over a frame and therefore foldable into
the first layer: they gate the features of the "moving" planes, and they shift the first layer's
bias. Where the moving planes hold nothing (hair, forehead, ears) the gates change nothing, which is
what lets the rest of the head stay still when a sound was never heard in training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from jean.models.encoding import spread_over
from jean.models.planes import FeaturePlane

# (first axis, second axis, cells along each): the frontal plane needs the most detail, since a
# talking-head video is seen from the front; depth planes that fine would only hold streaks.
STATIC_PLANES = ((0, 1, 64, 64), (0, 1, 208, 208), (2, 1, 48, 64), (0, 2, 64, 48))
MOVING_PLANES = ((0, 1, 96, 96), (2, 1, 24, 48))
SHADING_CELLS = 12  # lights are far and skin is smooth: shading changes slowly over the face


# A mean head as an ellipsoid in head space, cm: what a frontal video leaves open (depth above all)
# follows it. Its front touches MediaPipe's canonical face at forehead and cheeks. The tracked face's own
# surface in its place was tried: 0.3 to 1 dB worse on held-out frames.
HEAD_CENTRE = (0.0, -1.5, 4.5)
HEAD_RADII = (8.5, 12.0, 10.5)


def head_prior(positions: Tensor) -> Tensor:
    """Log density [N] that a mean head would have at ``positions`` [N, 3]: about 0 inside, -4 outside."""
    centre, radii = positions.new_tensor(HEAD_CENTRE), positions.new_tensor(HEAD_RADII)
    distance = ((positions - centre) / radii).norm(dim=-1)
    return (8.0 * (1.0 - distance)).clamp(-4.0, 0.5)


class TriplaneField(nn.Module):
    """F_Θ of Eq. 5 with tri-plane features in place of the encoded position.

    Args:
        condition_width: width of e_in.
        direction_width: width of the viewing direction.
        box: (low, high) corners of the volume in head space, cm.
        channels: features in a plane's cell.
        hidden: width of the MLP.
    """

    low: Tensor
    size: Tensor

    def __init__(
        self,
        condition_width: int,
        direction_width: int,
        box: tuple[tuple[float, float, float], tuple[float, float, float]],
        channels: int = 16,
        hidden: int = 64,
    ):
        super().__init__()
        self.register_buffer("low", torch.tensor(box[0]))
        self.register_buffer("size", torch.tensor(box[1]) - torch.tensor(box[0]))
        self.static = nn.ModuleList(FeaturePlane(h, w, channels) for _, _, w, h in STATIC_PLANES)
        self.moving = nn.ModuleList(FeaturePlane(h, w, channels, 0.05) for _, _, w, h in MOVING_PLANES)
        self.gates = nn.Linear(condition_width, channels * len(MOVING_PLANES))
        self.bias = nn.Linear(condition_width, hidden, bias=False)
        nn.init.normal_(self.bias.weight, std=0.02)
        self.first = nn.Linear(channels * (len(STATIC_PLANES) + len(MOVING_PLANES)), hidden)
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
        static = [p(unit[a], unit[b]) for p, (a, b, _, _) in zip(self.static, STATIC_PLANES, strict=True)]
        moving = [p(unit[a], unit[b]) for p, (a, b, _, _) in zip(self.moving, MOVING_PLANES, strict=True)]
        of_frame = spread_over(frame, len(condition))
        moved = torch.cat(moving, -1) * of_frame(self.gates(condition))
        hidden = self.first(torch.cat([*static, moved], -1)) + of_frame(self.bias(condition))
        hidden = functional.relu(hidden)
        hidden = functional.relu(self.second(hidden))
        density = torch.exp((self.density(hidden)[:, 0] + head_prior(positions)).clamp(-12.0, 6.0))
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
        return torch.stack([plane.get_parameter("table").square().mean() for plane in self.moving]).sum()
