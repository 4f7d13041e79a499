"""Where a head's Gaussians begin: on the person's face, on a mean head inside the visual hull, and behind the lips.

A frontal video bounds depth badly. Gaussians therefore begin on surfaces: on the face, the relief through the person's
landmarks (``jean.models.head.prior``); beside it, on a rounded head that is as wide as the visual hull in every slice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from jean.models.head.deformation import Corners
from jean.models.head.planes import bilinear_rows
from jean.models.head.prior import HEAD_CENTRE, HEAD_RADII, RELIEF_CELLS

SIDE_FRACTION = 0.15  # of the Gaussians that lie on the sides of the head, which a frontal view does not show
INTERIOR_FRACTION = 0.04  # of those behind the lips
INTERIOR_DEPTH_CM = (0.7, 1.6)  # behind the lips' landmarks
CELL_CM = 0.5  # of the grid on which the visual hull is asked for
RIM_CELLS = 2  # of the visual hull, whose margin is about 1 cm; Gaussians in it would show as specks for long
MOUTH = tuple(range(48, 68))


@dataclass(frozen=True)
class Start:
    """Gaussians to begin with.

    Attributes:
        centres: [N, 3], head space, cm.
        spacing: mean distance of neighbours [N], cm.
        interior: bool [N], behind the lips.
    """

    centres: Tensor
    spacing: Tensor
    interior: Tensor


def surface_depth(positions: Tensor, relief: Tensor, box: Corners) -> tuple[Tensor, Tensor]:
    """Depth [N] of the mean head's front at frontal positions [N, 2], cm, and bool [N] whether it lies on the face.

    Args:
        positions: x and y, head space, cm.
        relief: from ``jean.models.head.prior.relief``.
        box: low and high corners of the relief's plane.
    """
    low, size = positions.new_tensor(box[0]), positions.new_tensor(box[1]) - positions.new_tensor(box[0])
    unit = (positions - low[:2]) / size[:2]
    rows, weights = bilinear_rows(unit[:, 0], unit[:, 1], RELIEF_CELLS, RELIEF_CELLS)
    offset = torch.nn.functional.embedding_bag(rows, relief, per_sample_weights=weights, mode="sum")[:, 0]
    centre, radii = positions.new_tensor(HEAD_CENTRE), positions.new_tensor(HEAD_RADII)
    across = ((positions - centre[:2]) / radii[:2]).square().sum(-1)
    front = centre[2] - radii[2] * (1 - across).clamp_min(0.05).sqrt()
    return front + offset, across < 0.9


def start(
    count: int,
    shape: Tensor,
    relief: Tensor,
    box: Corners,
    visual_hull: Callable[[Tensor], Tensor],
    generator: torch.Generator,
) -> Start:
    """Centres of about ``count`` Gaussians.

    Args:
        count: wanted number.
        shape: landmarks of the rigid head [68, 3], cm.
        relief: of the face, see ``surface_depth``.
        box: low and high corners of the volume.
        visual_hull: tells for positions [D, H, W, 3] whether the mattes allow a head there, bool [D, H, W].
        generator: draws positions, on the CPU.
    """
    low, high = torch.tensor(box[0]), torch.tensor(box[1])
    axes = [
        torch.linspace(float(low[i]) + CELL_CM / 2, float(high[i]) - CELL_CM / 2, int((high[i] - low[i]) / CELL_CM))
        for i in range(3)
    ]
    z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    possible = visual_hull(torch.stack([x, y, z], -1)).cpu()
    # cells of the frontal plane [H, W] whose surface lies in the hull
    depth, _ = surface_depth(torch.stack([x[0], y[0]], -1).view(-1, 2), relief, box)
    layer = ((depth - low[2]) / CELL_CM).long().clamp(0, len(axes[2]) - 1).view(1, *x[0].shape)
    silhouette = _inner(possible.gather(0, layer))[0]
    lips = int(INTERIOR_FRACTION * count)
    sides = int(SIDE_FRACTION * count)
    front = count - lips - sides
    area = float(silhouette.sum()) * CELL_CM**2
    spacing = (area / max(1, front)) ** 0.5
    # a jittered grid over the silhouette: even coverage, unlike independent positions
    grid_x = torch.arange(float(low[0]), float(high[0]), spacing)
    grid_y = torch.arange(float(low[1]), float(high[1]), spacing)
    down, across = torch.meshgrid(grid_y, grid_x, indexing="ij")
    flat = torch.stack([across.reshape(-1), down.reshape(-1)], -1)
    flat = flat + spacing * torch.rand(flat.shape, generator=generator)
    column = ((flat[:, 0] - low[0]) / CELL_CM).long().clamp(0, len(axes[0]) - 1)
    row = ((flat[:, 1] - low[1]) / CELL_CM).long().clamp(0, len(axes[1]) - 1)
    flat = flat[silhouette[row, column]]
    depth, _ = surface_depth(flat, relief, box)
    skin = torch.cat([flat, depth[:, None]], -1)
    middle = int((axes[2] - HEAD_CENTRE[2]).abs().argmin())
    side = _sides(_inner(possible[middle : middle + 1])[0], axes, sides, generator)
    mouth = _interior(shape[list(MOUTH)], lips, generator)
    centres = torch.cat([skin, side, mouth])
    interior = torch.zeros(len(centres), dtype=torch.bool)
    interior[len(centres) - len(mouth) :] = True
    return Start(centres, torch.full((len(centres),), spacing), interior)


def _inner(cells: Tensor) -> Tensor:
    """Cells [1, H, W], bool, without a rim of ``RIM_CELLS``; the volume's border has none."""
    outside = torch.nn.functional.max_pool2d((~cells).float(), 2 * RIM_CELLS + 1, 1, RIM_CELLS)
    return outside == 0


def _sides(widest: Tensor, axes: list[Tensor], count: int, generator: torch.Generator) -> Tensor:
    """Positions [count, 3] on the sides of a rounded head, as wide as the hull's widest slice ``widest`` [H, W]."""
    x, y = axes[0], axes[1]
    known = widest.any(1).nonzero()[:, 0]
    if not len(known):
        return torch.zeros(0, 3)
    left = torch.where(widest, x, x.max()).amin(1)
    right = torch.where(widest, x, x.min()).amax(1)
    row = known[torch.randint(len(known), (count,), generator=generator)]
    side = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    # from the silhouette's outermost depth (90°) forwards and a little backwards
    angle = torch.deg2rad(50 + 65 * torch.rand(count, generator=generator))
    half, middle = (right[row] - left[row]) / 2, (right[row] + left[row]) / 2
    px = middle + side * half * torch.sin(angle)
    pz = HEAD_CENTRE[2] - HEAD_RADII[2] * torch.cos(angle)
    py = y[row] + 0.5 * (torch.rand(count, generator=generator) - 0.5)
    return torch.stack([px, py, pz], -1)


def _interior(mouth: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Positions [count, 3] behind the lips' landmarks ``mouth`` [20, 3]."""
    low, high = mouth.amin(0), mouth.amax(0)
    unit = torch.rand((count, 3), generator=generator)
    near, far = INTERIOR_DEPTH_CM
    x = low[0] + (high[0] - low[0]) * (0.05 + 0.9 * unit[:, 0])
    # the open mouth reaches below the rigid head's lips
    y = low[1] + (high[1] + 0.8 - low[1]) * unit[:, 1]
    # teeth lie on an arch: deeper towards the corners
    arch = 1.2 * ((x - (low[0] + high[0]) / 2) / ((high[0] - low[0]) / 2)).square()
    z = mouth[:, 2].median() + near + (far - near) * unit[:, 2] + arch
    return torch.stack([x, y, z], -1)
