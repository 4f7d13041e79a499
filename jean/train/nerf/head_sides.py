"""Prior on the sides and the back of the head, which a short frontal video leaves open.

From the front, hair is opaque at any depth: density fills the visual hull up to the end of the box, and a turned head
shows a straight edge of hair. Heads are rounded. In each horizontal slice, density outside an ellipse is penalised. The
ellipse is as wide as the visual hull and as deep as a mean head.
"""

from __future__ import annotations

import torch
from torch import Tensor

MIDDLE_CM = 4.5  # z of the widest part of a head, head space
BACK_CM = 9.5  # from there to the back of the head
FRONT_CM = 15.0  # likewise to the front, with room for nose, chin and a fringe
HAIR_CM = 5.0  # behind the middle, in which the hull's width counts
LEAST_CM = 2.0  # half width of slices in which the hull is empty or thin
SOFT = 0.3  # of the squared radius, over which the penalty rises
SIDES_WEIGHT = 0.4  # of the loss, for every fourth step
POSITIONS = 1024  # per evaluation
STEP_CM = 1.0  # along which alpha is penalised


class HeadSides:
    """Ellipses of the horizontal slices of a head, as wide as the hull from its middle on backwards.

    Args:
        possible: bool [D, H, W], the visual hull without its margin.
        centres: centres of its cells [D, H, W, 3], head space, cm.
    """

    def __init__(self, possible: Tensor, centres: Tensor):
        x, y, z = centres[0, 0, :, 0], centres[0, :, 0, 1], centres[:, 0, 0, 2]
        # long hair behind the neck lies deeper than the widest place, where the hull may be narrower
        behind = (z >= MIDDLE_CM - 0.5) & (z <= MIDDLE_CM + HAIR_CM)
        widest = possible[behind].any(0)
        left = torch.where(widest, x, x.max()).amin(1)
        right = torch.where(widest, x, x.min()).amax(1)
        known = widest.any(1)
        self.middle = torch.where(known, (left + right) / 2, 0.0)
        self.half = torch.where(known, (right - left) / 2, 0.0).clamp_min(LEAST_CM)
        self.low, self.high = centres[0, 0, 0], centres[-1, -1, -1]
        self.first, self.step = y[0], y[1] - y[0]

    def draw(self, generator: torch.Generator) -> Tensor:
        """Random positions [POSITIONS, 3] in the volume, cm."""
        unit = torch.rand((POSITIONS, 3), generator=generator, device=self.low.device)
        return self.low + unit * (self.high - self.low)

    def outside(self, positions: Tensor) -> Tensor:
        """How far positions [N, 3] lie outside their ellipse: [N], 0 inside, 1 clearly outside."""
        x, y, z = positions.unbind(-1)
        row = ((y - self.first) / self.step).round().long().clamp(0, len(self.half) - 1)
        across = (x - self.middle[row]) / self.half[row]
        depth = (z - MIDDLE_CM) / torch.where(z < MIDDLE_CM, FRONT_CM, BACK_CM)
        return ((across.square() + depth.square() - 1) / SOFT).clamp(0, 1)

    def loss(self, positions: Tensor, density: Tensor) -> Tensor:
        """Mean alpha of ``density`` [N], per cm, outside the ellipses."""
        return self.loss_of_primitives(positions, -torch.expm1(-density * STEP_CM))

    def loss_of_primitives(self, centres: Tensor, opacities: Tensor) -> Tensor:
        """Mean of ``opacities`` [N] of primitives at ``centres`` [N, 3] outside the ellipses."""
        return (self.outside(centres) * opacities).mean()
