"""3D Gaussians of a head: their parameters, and how a frame's drivers move and colour them.

The Gaussians lie in canonical head space, the space of the rigid head. A frame moves them in three ways:

- the landmark deformation displaces the skin (``jean.models.head.deformation``), exactly as it bends the fast head;
- in the regions of mouth, eyes and brows, the condition e_in adds offsets of centre, scale, rotation, colour and
  opacity: linear in gated features, ``W (f_i * gate(e_in))`` with features f_i of each Gaussian, and bounded;
- a few cosine waves over the frontal plane add what changes slowly over the head: light, linear in the head's slants,
  and what only the latent code of a training frame knows (light and hair of that frame).

Everything else is constant, so a short clip cannot teach hair or cheeks to follow a sound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jean.models.head.base import PosedGaussians
from jean.models.head.deformation import CELLS
from jean.models.head.planes import VersionedCache, bilinear_rows

FEATURES = 16  # per Gaussian, gated by the condition
WAVES = 6  # cosines along each axis of the frontal plane: distant lights on smooth skin change slowly over the face
FADE_CM = 0.9  # over which a region's influence falls to zero at its border
REGION_DEPTH_CM = 4.0  # behind the face's surface, up to which Gaussians belong to a region
# Offsets by the condition: numbers of values (cm, log of cm, quaternion, logit, logits), and bounds. Without bounds,
# another person's expression opens holes in lids.
OFFSETS = {"centre": 3, "scale": 3, "rotation": 4, "opacity": 1, "colour": 3}
LIMITS = {"centre": 1.0, "scale": 0.7, "rotation": 1.0, "opacity": 1.5, "colour": 3.0}


@dataclass(frozen=True)
class Region:
    """A rectangle of the frontal plane whose Gaussians follow the condition.

    Attributes:
        low: smallest x and y, head space, cm.
        high: largest x and y.
        skip: number of leading values of e_in that do not act on it.
        hidden: first and one past the last of further values that do not; an empty range hides none.
    """

    low: tuple[float, float]
    high: tuple[float, float]
    skip: int = 0
    hidden: tuple[int, int] = (0, 0)

    def inputs(self, condition: Tensor) -> Tensor:
        """The values of e_in [C] that act on the region, [C - skip - hidden]."""
        first, end = self.hidden
        if first == end:
            return condition[self.skip :]
        return torch.cat([condition[self.skip : first], condition[end:]])

    def width(self, condition_width: int) -> int:
        """How many values of e_in act on the region."""
        return condition_width - self.skip - (self.hidden[1] - self.hidden[0])

    def weight(self, centres: Tensor) -> Tensor:
        """Influence [N] of the region at canonical positions [N, 3]: 1 inside, 0 outside, linear at the border."""
        low, high = centres.new_tensor(self.low), centres.new_tensor(self.high)
        inside = torch.minimum(centres[:, :2] - low, high - centres[:, :2]).amin(1)
        return (inside / FADE_CM).clamp(0, 1) * ((REGION_DEPTH_CM - centres[:, 2]) / FADE_CM).clamp(0, 1)


@dataclass(frozen=True)
class Layout:
    """What depends on the canonical positions of N Gaussians alone.

    Attributes:
        waves: values [N, WAVES²] of the cosine waves.
        moving: int64 [M], Gaussians that follow the condition.
        weights: influence [M, R + 1] of the regions, and of the mouth's inside, on these.
        rows: cells [N, 4] of the deformation around each Gaussian.
        corners: their bilinear weights [N, 4]; 0 for the mouth's inside.
    """

    waves: Tensor
    moving: Tensor
    weights: Tensor
    rows: Tensor
    corners: Tensor


class Gaussians(nn.Module):
    """At most ``capacity`` Gaussians; the first ``count`` rows are in use.

    Args:
        capacity: rows of all parameters.
        condition_width: width of e_in.
        view_width: width of the viewing direction.
        code_width: width of a training frame's latent code, the last values of e_in.
        box: low and high corners of the volume, head space, cm.
        regions: the rectangles that follow the condition; the last is that of the mouth.
    """

    count: Tensor
    interior: Tensor
    anchor: Tensor
    limits: Tensor
    low: Tensor
    size: Tensor

    def __init__(
        self,
        capacity: int,
        condition_width: int,
        view_width: int,
        code_width: int,
        box: Sequence[Sequence[float]],
        regions: Sequence[Region],
    ):
        super().__init__()
        self.regions, self.view_width, self.code_width = tuple(regions), view_width, code_width
        self.centre = nn.Parameter(torch.zeros(capacity, 3))
        self.log_scale = nn.Parameter(torch.full((capacity, 3), -2.0))
        self.rotation = nn.Parameter(torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(capacity, 1))
        self.opacity = nn.Parameter(torch.zeros(capacity))
        self.colour = nn.Parameter(torch.zeros(capacity, 3))
        self.features = nn.Parameter(torch.randn(capacity, FEATURES) * 0.1)
        self.gates = nn.ModuleList(
            nn.Linear(region.width(condition_width), FEATURES) for region in (*regions, regions[-1])
        )
        self.offsets = nn.Parameter(torch.randn(FEATURES, sum(OFFSETS.values())) * 0.02)
        self.light = nn.Parameter(torch.zeros(WAVES**2, 3 * view_width))
        self.code = nn.Parameter(torch.zeros(WAVES**2, 6 * code_width))
        self._layout, self._training_layout = VersionedCache(), VersionedCache()
        limits = [LIMITS[name] for name, count in OFFSETS.items() for _ in range(count)]
        self.register_buffer("limits", torch.tensor(limits), persistent=False)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("interior", torch.zeros(capacity))  # 1: behind the lips, which the skin does not move
        # positions for which the layout was last computed in training; runs of earlier versions have none
        self.register_buffer("anchor", torch.zeros(capacity, 3))
        self.register_load_state_dict_pre_hook(_without_anchor)
        self.register_buffer("low", torch.tensor(box[0]), persistent=False)
        self.register_buffer("size", torch.tensor(box[1]) - torch.tensor(box[0]), persistent=False)

    @property
    def rows(self) -> list[nn.Parameter]:
        """The parameters with one row per Gaussian."""
        return [self.centre, self.log_scale, self.rotation, self.opacity, self.colour, self.features]

    def pose(self, condition: Tensor, view: Tensor, deformation: Tensor | None) -> PosedGaussians:
        """The Gaussians of one frame.

        Args:
            condition: [C], e_in.
            view: [view_width], standardised slants of the head.
            deformation: displacements towards canonical space [cells², 2], cm, or None.
        """
        layout = self.layout()
        count = len(layout.waves)
        values = [self.centre, self.log_scale, self.rotation, self.opacity[:, None], self.colour]
        changed = torch.cat([value[:count] for value in values], 1)
        changed = changed.index_add(0, layout.moving, self.change(layout, condition))
        centres, log_scales, rotations, opacities, colours = changed.split(list(OFFSETS.values()), 1)
        slow = layout.waves @ self.frame_waves(view, condition)
        centres = centres + slow[:, 3:]
        if deformation is not None:
            centres = centres + self.skin_motion(layout, deformation)
        return PosedGaussians(
            centres,
            torch.exp(log_scales),
            rotations,
            torch.sigmoid(opacities[:, 0]),
            torch.sigmoid(colours + slow[:, :3]),
        )

    @torch.no_grad()
    def hold_layout(self) -> None:
        """Keeps the layout of the present positions while training, until the next call: they move slowly."""
        self.anchor.copy_(self.centre)

    def layout(self) -> Layout:
        """What depends on the canonical positions alone; computed anew when these have changed."""
        cache = self._layout
        positions: Tensor = self.centre
        if torch.is_grad_enabled():
            cache, positions = self._training_layout, self.anchor
        return cache.get((positions, self.interior, self.count), lambda: self._make_layout(positions))

    @torch.no_grad()
    def _make_layout(self, positions: Tensor) -> Layout:
        count = int(self.count)
        canonical, interior = positions[:count], self.interior[:count]
        weights = torch.stack([region.weight(canonical) for region in self.regions], 1) * (1 - interior[:, None])
        weights = torch.cat([weights, interior[:, None]], 1)
        moving = (weights > 0).any(1).nonzero()[:, 0]
        unit = (canonical - self.low) / self.size
        rows, corners = bilinear_rows(unit[:, 0], unit[:, 1], CELLS, CELLS)
        return Layout(self.waves(canonical), moving, weights[moving], rows, corners * (1 - interior[:, None]))

    def change(self, layout: Layout, condition: Tensor) -> Tensor:
        """Offsets [M, ·] of the moving Gaussians by the condition, in the order of ``OFFSETS``."""
        regions = (*self.regions, self.regions[-1])
        gates = torch.stack([gate(own.inputs(condition)) for gate, own in zip(self.gates, regions, strict=True)])
        raw = (self.features[layout.moving] * (layout.weights @ gates)) @ self.offsets
        return self.limits * torch.tanh(raw / self.limits)

    def waves(self, canonical: Tensor) -> Tensor:
        """Values [N, WAVES²] of the cosine waves at canonical positions [N, 3]."""
        unit = ((canonical - self.low) / self.size)[:, :2]
        phase = math.pi * torch.arange(WAVES, device=unit.device)
        across, down = torch.cos(unit[:, :1] * phase), torch.cos(unit[:, 1:] * phase)
        return (down[:, :, None] * across[:, None]).flatten(1)

    def extent_in_depth(self) -> Tensor:
        """Standard deviations [N] along the z axis of canonical space, cm."""
        count = int(self.count)
        w, x, y, z = torch.nn.functional.normalize(self.rotation[:count], dim=-1).unbind(-1)
        axis = torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1)
        return (axis * torch.exp(self.log_scale[:count])).norm(dim=-1)

    def frame_waves(self, view: Tensor, condition: Tensor) -> Tensor:
        """Amplitudes [WAVES², 6] of the waves under one frame: of colours (logits) and of centres (cm)."""
        light = (self.light.view(-1, 3, self.view_width) * view).sum(-1)
        amplitudes = torch.nn.functional.pad(light, (0, 3))
        if self.code_width:
            amplitudes = amplitudes + (self.code.view(-1, 6, self.code_width) * condition[-self.code_width :]).sum(-1)
        return amplitudes

    def skin_motion(self, layout: Layout, deformation: Tensor) -> Tensor:
        """Displacements [N, 3], cm, by the landmarks; 0 for the mouth's inside.

        ``FaceDeformation`` interpolates the landmarks' motion over the rigid head, so it is read where a Gaussian
        lies in canonical space; no inversion is needed, unlike for positions on a ray.
        """
        motion = torch.nn.functional.embedding_bag(
            layout.rows, -deformation.detach(), per_sample_weights=layout.corners, mode="sum"
        )
        return torch.nn.functional.pad(motion, (0, 1))


def _without_anchor(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Adds the buffer that runs of earlier versions lack."""
    if f"{prefix}centre" in state:
        state.setdefault(f"{prefix}anchor", state[f"{prefix}centre"].clone())
