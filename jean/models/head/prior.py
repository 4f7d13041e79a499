"""A mean head: what a frontal video leaves open, depth above all, follows it."""

from __future__ import annotations

import torch
from torch import Tensor

from jean.models.head.deformation import Corners, frontal_grid, influence
from jean.models.head.planes import bilinear_rows

# An ellipsoid in head space, cm. Its front touches MediaPipe's canonical face at forehead and cheeks.
HEAD_CENTRE = (0.0, -1.5, 4.5)
HEAD_RADII = (8.5, 12.0, 10.5)
# The face's own relief on it: between the landmarks a smooth surface, beside the face the ellipsoid. Poses
# are measured with the tracked shape, so a head of another depth would slide under them as it turns.
RELIEF_CELLS = 64
RELIEF_REACH_CM = 2.5
RELIEF_RIDGE = 0.05
FACE_POINTS = tuple(range(17, 68))  # all but the contour, which slides along the cheek as the head turns


def relief(shape: Tensor, box: Corners) -> Tensor:
    """[RELIEF_CELLS², 1]: how much deeper than the ellipsoid's front the face of ``shape`` [68, 3] lies, cm."""
    points = shape[list(FACE_POINTS)].double()
    centre, radii = torch.tensor(HEAD_CENTRE).double(), torch.tensor(HEAD_RADII).double()
    across = ((points[:, :2] - centre[:2]) / radii[:2]).square().sum(-1)
    front = centre[2] - radii[2] * (1 - across).clamp_min(0.05).sqrt()  # beyond its rim: the rim
    spread = influence(frontal_grid(box, RELIEF_CELLS), points[:, :2], RELIEF_REACH_CM, RELIEF_RIDGE)
    return (spread @ (points[:, 2] - front)[:, None]).float()


def head_prior(positions: Tensor, unit: tuple[Tensor, Tensor], relief: Tensor) -> Tensor:
    """Log density [N] that a mean head would have: about 0 inside, -4 outside.

    Args:
        positions: [N, 3], head space, cm.
        unit: their first two coordinates [N] each, in [0, 1] of the box.
        relief: from ``relief``.
    """
    x, y, z = positions.unbind(-1)
    rows, weights = bilinear_rows(unit[0].detach(), unit[1].detach(), RELIEF_CELLS, RELIEF_CELLS)
    deeper = torch.nn.functional.embedding_bag(rows, relief, per_sample_weights=weights, mode="sum")[:, 0]
    # only the front half is the face
    z = z - deeper.masked_fill(z >= HEAD_CENTRE[2], 0.0)
    scaled = [(value - c) / r for value, c, r in zip((x, y, z), HEAD_CENTRE, HEAD_RADII, strict=True)]
    distance = torch.stack(scaled, -1).norm(dim=-1)
    return (8.0 * (1.0 - distance)).clamp(-4.0, 0.5)
