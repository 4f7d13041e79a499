"""Prior of the density: a mean head, which the field follows where a frontal video leaves the depth open."""

from __future__ import annotations

import torch
from torch import Tensor

from jean.models.head.deformation import Corners, frontal_grid, influence
from jean.models.head.planes import bilinear_rows

# An ellipsoid in head space, cm. Its front touches MediaPipe's canonical face at forehead and cheeks.
HEAD_CENTRE = (0.0, -1.5, 4.5)
HEAD_RADII = (8.5, 12.0, 10.5)
# The relief moves the ellipsoid's front to the landmarks of the person: a smooth surface between them, the ellipsoid
# beside the face. Poses are measured with the tracked shape, so a surface at another depth would slide as the head
# turns. Reach and ridge are those of ``influence``.
RELIEF_CELLS = 64
RELIEF_REACH_CM = 2.5
RELIEF_RIDGE = 0.05
FACE_POINTS = tuple(range(17, 68))  # without the contour, whose landmarks slide along the cheek as the head turns


def relief(shape: Tensor, box: Corners) -> Tensor:
    """Depth of a face behind the ellipsoid's front, per cell: [RELIEF_CELLS², 1], cm.

    Args:
        shape: landmarks of the rigid head, [68, 3], head space, cm.
        box: (low, high) corners of the volume, head space, cm; the cells divide its frontal side.
    """
    points = shape[list(FACE_POINTS)].double()
    centre, radii = torch.tensor(HEAD_CENTRE).double(), torch.tensor(HEAD_RADII).double()
    across = ((points[:, :2] - centre[:2]) / radii[:2]).square().sum(-1)
    front = centre[2] - radii[2] * (1 - across).clamp_min(0.05).sqrt()  # beyond the rim: the rim's depth
    weights = influence(frontal_grid(box, RELIEF_CELLS), points[:, :2], RELIEF_REACH_CM, RELIEF_RIDGE)
    return (weights @ (points[:, 2] - front)[:, None]).float()


def head_prior(positions: Tensor, unit: tuple[Tensor, Tensor], relief: Tensor) -> Tensor:
    """Log density [N] of a mean head: up to 0.5 inside, 0 on the surface, -4 far outside.

    Args:
        positions: [N, 3], head space, cm.
        unit: x and y of the positions, [N] each, scaled to [0, 1] over the box.
        relief: depth of the face behind the ellipsoid's front, see ``relief``.
    """
    x, y, z = positions.unbind(-1)
    rows, weights = bilinear_rows(unit[0].detach(), unit[1].detach(), RELIEF_CELLS, RELIEF_CELLS)
    depth_offset = torch.nn.functional.embedding_bag(rows, relief, per_sample_weights=weights, mode="sum")[:, 0]
    # the relief applies to the front half only
    z = z - depth_offset.masked_fill(z >= HEAD_CENTRE[2], 0.0)
    scaled = [(value - c) / r for value, c, r in zip((x, y, z), HEAD_CENTRE, HEAD_RADII, strict=True)]
    distance = torch.stack(scaled, -1).norm(dim=-1)
    return (8.0 * (1.0 - distance)).clamp(-4.0, 0.5)
