"""Where a head's Gaussians begin: on the person's face, on a mean head inside the visual hull, and behind the lips.

A frontal video bounds depth badly. Gaussians therefore begin on one surface: on the face, the relief through the
person's landmarks (``jean.models.head.prior``); beside it, a dome as wide as the visual hull in every slice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from jean.landmarks import EYEBALL_RADIUS_CM, IRIS_AHEAD_CM, LEFT_EYE, RIGHT_EYE
from jean.models.head.deformation import Corners
from jean.models.head.planes import bilinear_rows
from jean.models.head.prior import HEAD_CENTRE, HEAD_RADII, RELIEF_CELLS, relief

SIDE_FRACTION = 0.06  # of the Gaussians that lie on the sides of the head, which a frontal view does not show
SIDE_DEG = (75.0, 92.0)  # from the front: a frontal grid is sparse there; further back a frontal video shows nothing
FACE_ENDS = (0.75, 0.95)  # squared distance from the face's middle, in radii of a mean head, over which the dome begins
STEEPEST = 3.0  # slope of the surface up to which Gaussians are made longer in depth, so that they touch
NECK_ROUNDNESS = 0.1  # least squared depth of a slice, of the deepest one's: the neck lies behind the chin
HAIR_CM = 5.0  # behind the surface, up to which long hair is looked for
LEAST_CM = 2.0  # half width of slices in which the hull is empty
INTERIOR_FRACTION = 0.04  # of those behind the lips
INTERIOR_DEPTH_CM = (0.7, 1.6)  # behind the lips' landmarks
AROUND_CORNERS = 1.15  # half width of an eye with its corners, in half distances of these
HALF_OPENING_CM = 0.5  # half height of the opening of the lids
CELL_CM = 0.5  # of the grid on which the visual hull is asked for
RIM_CELLS = 2  # of the visual hull, whose margin is about 1 cm; Gaussians in it would show as specks for long
MOUTH = tuple(range(48, 68))


@dataclass(frozen=True)
class Start:
    """Gaussians to begin with.

    Attributes:
        centres: [N, 3], head space, cm.
        spacing: distance of neighbours [N, 3] along x, y and z, cm.
        interior: bool [N], behind the lips.
    """

    centres: Tensor
    spacing: Tensor
    interior: Tensor


@dataclass(frozen=True)
class HeadSurface:
    """The front of a head: the tracked face in a mean head, and beside it a dome as wide as the hull in every slice.

    Of both, the one further back counts. The dome ends where the sides begin: a brim would come off as the head turns.

    Attributes:
        relief: of the face, see ``jean.models.head.prior.relief``.
        box: low and high corners of the volume, head space, cm.
        middle, half: x of the middle, and half width, of H horizontal slices, cm; from the top of the box down.
        top: y of the highest slice in the hull, cm.
        corners: of both eyes, [2, 2, 3], head space, cm.
    """

    relief: Tensor
    box: Corners
    middle: Tensor
    half: Tensor
    top: float
    corners: Tensor

    @classmethod
    def of(cls, shape: Tensor, box: Corners, widest: Tensor, axes: Sequence[Tensor]) -> HeadSurface:
        """The surface of a visual hull.

        Args:
            shape: landmarks of the rigid head [68, 3], cm.
            box: low and high corners of the volume.
            widest: the hull's cells at the depth where a head is widest, bool [H, W].
            axes: x and y of the cells' centres, cm.
        """
        x, y = axes
        known = widest.any(1)
        left = torch.where(widest, x, x.max()).amin(1)
        right = torch.where(widest, x, x.min()).amax(1)
        middle = torch.where(known, (left + right) / 2, 0.0)
        half = torch.where(known, (right - left + CELL_CM) / 2, LEAST_CM).clamp_min(LEAST_CM)
        # slices of cells are rough
        half = torch.nn.functional.avg_pool1d(half[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
        top = float(y[known][0]) if known.any() else float(y[0])
        corners = torch.stack([shape[eye][[0, 3]] for eye in (RIGHT_EYE, LEFT_EYE)])
        return cls(relief(shape, box), box, middle, half, top, corners)

    def to(self, device: torch.device) -> HeadSurface:
        """The same surface on another device."""
        values = {name: getattr(self, name).to(device) for name in ("relief", "middle", "half", "corners")}
        return replace(self, **values)

    def depth(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Depth [N] of the front at frontal positions [N, 2], cm, and the share [N] of the dome in it, 0 to 1."""
        face, across = self._face(positions)
        middle, half, roundness = self.slice(positions[:, 1])
        beside = ((positions[:, 0] - middle) / half).square()
        dome = HEAD_CENTRE[2] - HEAD_RADII[2] * roundness * (1 - beside).clamp_min(0).sqrt()
        share = ((across - FACE_ENDS[0]) / (FACE_ENDS[1] - FACE_ENDS[0])).clamp(0, 1)
        return torch.lerp(face, torch.maximum(face, dome), share), share

    def slice(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Middle, half width, and depth as a fraction of the deepest slice's, [N] each, at heights y [N], cm."""
        low, high = self.box[0][1] + CELL_CM / 2, self.box[1][1] - CELL_CM / 2
        row = ((y - low) / (high - low)).clamp(0, 1) * (len(self.half) - 1)
        first = row.floor().long().clamp_max(len(self.half) - 2)
        middle, half = (torch.lerp(v[first], v[first + 1], row - first) for v in (self.middle, self.half))
        centre = HEAD_CENTRE[1]
        radius = torch.where(y < centre, max(HEAD_RADII[1], centre - self.top), HEAD_RADII[1])
        return middle, half, (1 - ((y - centre) / radius).square()).clamp_min(NECK_ROUNDNESS).sqrt()

    def _face(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Depth [N] of the tracked face in a mean head, and squared distance [N] from its middle in radii of that."""
        low = positions.new_tensor(self.box[0])
        size = positions.new_tensor(self.box[1]) - low
        unit = (positions - low[:2]) / size[:2]
        rows, weights = bilinear_rows(unit[:, 0], unit[:, 1], RELIEF_CELLS, RELIEF_CELLS)
        offset = torch.nn.functional.embedding_bag(rows, self.relief, per_sample_weights=weights, mode="sum")[:, 0]
        centre, radii = positions.new_tensor(HEAD_CENTRE), positions.new_tensor(HEAD_RADII)
        across = ((positions - centre[:2]) / radii[:2]).square().sum(-1)
        skin = centre[2] - radii[2] * (1 - across).clamp_min(0.05).sqrt() + offset
        return torch.where(self.in_eyes(positions), self._eye(positions), skin), across

    def in_eyes(self, positions: Tensor) -> Tensor:
        """Which frontal positions [N, 2] lie in the opening of the lids or at its corners, bool [N]."""
        return self._from_eyes(positions).amin(1) < 1

    def _from_eyes(self, positions: Tensor) -> Tensor:
        """Squared distances [N, 2] of frontal positions [N, 2] from both eyes, in radii of their openings."""
        half_width = AROUND_CORNERS * (self.corners[:, 1, 0] - self.corners[:, 0, 0]).abs() / 2
        radii = torch.stack([half_width, torch.full_like(half_width, HALF_OPENING_CM)], -1)
        return ((positions[:, None] - self.corners.mean(1)[:, :2]) / radii).square().sum(-1)

    def _eye(self, positions: Tensor) -> Tensor:
        """Depth [N], cm, of the eyeball before the line between the corners of the nearest eye, or of that line.

        The relief is too smooth to reach the corners beside the nose. Gaze is measured between iris and corners, so an
        error of either depth looks like a gaze that follows the turns of the head.
        """
        corners = self.corners[self._from_eyes(positions).argmin(1)]
        first, last = corners[:, 0], corners[:, 1]
        share = ((positions[:, 0] - first[:, 0]) / (last[:, 0] - first[:, 0])).clamp(0, 1)
        line = torch.lerp(first[:, 2], last[:, 2], share)
        middle = corners.mean(1)
        centre = middle[:, 2] + (EYEBALL_RADIUS_CM - IRIS_AHEAD_CM)
        away = (positions - middle[:, :2]).square().sum(1)
        return torch.minimum(line, centre - (EYEBALL_RADIUS_CM**2 - away).clamp_min(0).sqrt())


def hull_surface(
    shape: Tensor, box: Corners, visual_hull: Callable[[Tensor], Tensor]
) -> tuple[HeadSurface, Callable[[Tensor], Tensor]]:
    """The head's surface, and how far behind it the head is at frontal positions [N, 2]: [N], cm, NaN beside the head.

    The second is a function; it gives 0 but for long hair that hangs behind the neck.

    Args:
        shape: landmarks of the rigid head [68, 3], cm.
        box: low and high corners of the volume.
        visual_hull: tells for positions [D, H, W, 3] whether the mattes allow a head there, bool [D, H, W].
    """
    low, high = torch.tensor(box[0]), torch.tensor(box[1])
    axes = [
        torch.linspace(float(low[i]) + CELL_CM / 2, float(high[i]) - CELL_CM / 2, int((high[i] - low[i]) / CELL_CM))
        for i in range(3)
    ]
    z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    possible = visual_hull(torch.stack([x, y, z], -1)).cpu()
    middle = int((axes[2] - HEAD_CENTRE[2]).abs().argmin())
    surface = HeadSurface.of(shape, box, _inner(possible[middle : middle + 1])[0], axes[:2])
    # cells of the frontal plane [H, W] whose surface lies in the hull
    frontal = torch.stack([x[0], y[0]], -1).view(-1, 2)
    depth, _ = surface.depth(frontal)
    layer = ((depth - low[2]) / CELL_CM).long().clamp(0, len(axes[2]) - 1).view(1, *x[0].shape)
    silhouette = _inner(possible.gather(0, layer))[0]
    # long hair behind the neck lies deeper than the surface
    cells = torch.arange(len(axes[2]))[:, None, None]
    reachable = possible & (cells >= layer) & (cells <= layer + round(HAIR_CM / CELL_CM))
    hair = _wide(_inner(reachable.any(0, keepdim=True))[0] & ~silhouette)
    deeper = (reachable.float().argmax(0) - layer[0]).clamp_min(0) * CELL_CM * hair
    silhouette = silhouette | hair
    if not silhouette.any():  # mattes that agree on nothing: a mean head
        centre, radii = (torch.tensor(values[:2]) for values in (HEAD_CENTRE, HEAD_RADII))
        silhouette = (((frontal - centre) / radii).square().sum(-1) < 1).view(silhouette.shape)

    behind_surface = torch.where(silhouette, deeper, torch.nan)

    def behind(positions: Tensor) -> Tensor:
        column = ((positions[:, 0] - low[0]) / CELL_CM).long().clamp(0, len(axes[0]) - 1)
        row = ((positions[:, 1] - low[1]) / CELL_CM).long().clamp(0, len(axes[1]) - 1)
        return behind_surface[row, column]

    return surface, behind


def start(
    count: int, shape: Tensor, surface: HeadSurface, behind: Callable[[Tensor], Tensor], generator: torch.Generator
) -> Start:
    """Centres of about ``count`` Gaussians.

    Args:
        count: wanted number.
        shape: landmarks of the rigid head [68, 3], cm.
        surface: of the head.
        behind: how far behind the surface the head is, see ``hull_surface``.
        generator: draws positions, on the CPU.
    """
    low, high = surface.box
    cells_x, cells_y = (torch.arange(low[i] + CELL_CM / 2, high[i], CELL_CM) for i in range(2))
    down, across = torch.meshgrid(cells_y, cells_x, indexing="ij")
    area = float(behind(torch.stack([across.reshape(-1), down.reshape(-1)], -1)).isfinite().sum()) * CELL_CM**2
    lips, sides = int(INTERIOR_FRACTION * count), int(SIDE_FRACTION * count)
    spacing = (area / max(1, count - lips - sides)) ** 0.5
    # a jittered grid over the silhouette: even coverage, unlike independent positions
    down, across = torch.meshgrid(
        torch.arange(low[1], high[1], spacing), torch.arange(low[0], high[0], spacing), indexing="ij"
    )
    flat = torch.stack([across.reshape(-1), down.reshape(-1)], -1)
    flat = flat + spacing * torch.rand(flat.shape, generator=generator)
    flat = flat[behind(flat).isfinite()]
    depth = surface.depth(flat)[0]
    skin = torch.cat([flat, (depth + behind(flat))[:, None]], -1)
    moved = [surface.depth(flat + spacing * torch.tensor(step))[0] for step in ((1.0, 0.0), (0.0, 1.0))]
    slope = torch.stack([(value - depth).abs() / spacing for value in moved]).amax(0).clamp(1, STEEPEST)
    steep = spacing * torch.stack([torch.ones_like(slope), torch.ones_like(slope), slope], -1)
    side, side_spacing = _sides(surface, float(flat[:, 1].max()) if len(flat) else 0.0, sides, generator)
    mouth = _interior(shape[list(MOUTH)], lips, generator)
    spacings = [steep, torch.full_like(side, side_spacing), torch.full_like(mouth, spacing)]
    centres = torch.cat([skin, side, mouth])
    return Start(centres, torch.cat(spacings), torch.arange(len(centres)) >= len(skin) + len(side))


def _inner(cells: Tensor) -> Tensor:
    """Cells [1, H, W], bool, without a rim of ``RIM_CELLS``; the volume's border has none."""
    outside = torch.nn.functional.max_pool2d((~cells).float(), 2 * RIM_CELLS + 1, 1, RIM_CELLS)
    return outside == 0


def _wide(cells: Tensor) -> Tensor:
    """Cells [H, W], bool, of areas at least three cells wide: a rim of the hull is no hair."""
    inner = torch.nn.functional.max_pool2d((~cells)[None].float(), 3, 1, 1) == 0
    return torch.nn.functional.max_pool2d(inner.float(), 3, 1, 1)[0] > 0


def _sides(surface: HeadSurface, bottom: float, count: int, generator: torch.Generator) -> tuple[Tensor, float]:
    """Positions [count, 3] on the sides of the head, from its top to the height ``bottom``, and their mean spacing."""
    y = surface.top + (bottom - surface.top) * torch.rand(count, generator=generator)
    side = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    low, high = (math.radians(angle) for angle in SIDE_DEG)
    angle = low + (high - low) * torch.rand(count, generator=generator)
    middle, half, roundness = surface.slice(y)
    depth = HEAD_RADII[2] * roundness
    positions = [middle + side * half * torch.sin(angle), y, HEAD_CENTRE[2] - depth * torch.cos(angle)]
    arc = (high - low) * float((half + depth).mean()) / 2 if count else 0.0
    return torch.stack(positions, -1), (2 * arc * max(bottom - surface.top, 0.0) / max(1, count)) ** 0.5


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
