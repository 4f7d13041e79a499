"""The fast field: feature planes of several resolutions and a small MLP.

Speech and expression act on mouth, eyes and brows only: each of these parts has a fine feature plane that the condition
gates. All other motion of the face comes from the landmarks (``deformation``). If the condition acted everywhere, it
would also learn to explain changes of light, pose errors and hair, which coincide with some expression in a short clip.
Such a head breaks under the expressions of another clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from jean.kernels.backend import Backend
from jean.kernels.dispatch import (
    FieldOfFrames,
    FrameField,
    PlaneSpec,
    Prior,
    cached_list,
    neighbour_pairs,
    triplane_field,
)
from jean.models.encoding import expand_frames
from jean.models.head.base import ParameterGroup
from jean.models.head.deformation import Corners, to_canonical
from jean.models.head.planes import PLANE_EPS, PLANE_RATE, FeaturePlane, VersionedCache, refine_plane
from jean.models.head.prior import HEAD_CENTRE, HEAD_RADII, RELIEF_CELLS, head_prior

# (first axis, second axis, cells along each). The frontal plane needs the most detail, because a talking-head video
# shows the front; equally fine depth planes would hold streaks. A cell of the coarse frontal plane is as wide as three
# cells of the fine one, so that rendering can merge both into one table (``merge_planes``).
STATIC_PLANES = ((0, 1, 70, 70), (0, 1, 208, 208), (2, 1, 48, 64), (0, 2, 64, 48))
PART_FADE_CELLS = 8  # 0.9 cm; with a shorter transition the part's edge shows as a crease
# Learning rate of the parts. Their cells are smaller than a pixel and gated; at PLANE_RATE they leave specks.
PART_RATE = 1.5e-2
SHADING_CELLS = 12  # per side; few, because distant lights on smooth skin change slowly over the face


@dataclass(frozen=True)
class Part:
    """A rectangle of the frontal plane whose appearance depends on the condition.

    Attributes:
        low: smallest x and y of the rectangle, head space, cm.
        size: extent along x and y, cm.
        cells: number of cells along x and y.
        skip: number of leading values of e_in that do not act on the part.
        hidden: first and one past the last of further values that do not; an empty range hides none.
    """

    low: tuple[float, float]
    size: tuple[float, float]
    cells: tuple[int, int]
    skip: int = 0
    hidden: tuple[int, int] = (0, 0)

    def inputs(self, condition: Tensor) -> Tensor:
        """The values of e_in [F, C] that act on the part, [F, C - skip - hidden]."""
        first, end = self.hidden
        if first == end:
            return condition[:, self.skip :]
        return torch.cat([condition[:, self.skip : first], condition[:, end:]], 1)

    def width(self, condition_width: int) -> int:
        """How many values of e_in act on the part."""
        return condition_width - self.skip - (self.hidden[1] - self.hidden[0])


class TriplaneField(nn.Module):
    """F_Θ of Eq. 5 with tri-plane features in place of the encoded position.

    Args:
        condition_width: width of e_in.
        direction_width: width of the viewing direction.
        box: (low, high) corners of the volume in head space, cm.
        parts: the rectangles on which speech and expression act.
        code_width: width of a training frame's latent code, the last values of e_in, which acts everywhere.
        channels: features per cell of a plane.
        hidden: width of the MLP.

    Attributes:
        backend: whether compiled kernels or the torch code of this file compute the field.
    """

    low: Tensor
    size: Tensor
    relief: Tensor
    backend: Backend

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
        self.backend = Backend.default()
        self.register_buffer("low", torch.tensor(box[0]))
        self.register_buffer("size", torch.tensor(box[1]) - torch.tensor(box[0]))
        self.register_buffer("relief", torch.zeros(RELIEF_CELLS**2, 1))
        self.parts = tuple(parts)
        self.static = nn.ModuleList(FeaturePlane(h, w, channels) for _, _, w, h in STATIC_PLANES)
        self.moving = nn.ModuleList(
            FeaturePlane(part.cells[1], part.cells[0], channels, 0.05, PART_FADE_CELLS) for part in self.parts
        )
        self.gates = nn.ModuleList(nn.Linear(part.width(condition_width), channels) for part in self.parts)
        self.code_width = code_width
        # static planes times the first layer, by precision
        self._premultiplied = {name: VersionedCache() for name in ("fp32", "bf16")}
        if code_width:
            self.bias = nn.Linear(code_width, hidden, bias=False)
            nn.init.normal_(self.bias.weight, std=0.02)
        self.first = nn.Linear(channels * (len(STATIC_PLANES) + len(self.parts)), hidden)
        self.second = nn.Linear(hidden, hidden)
        self.density = nn.Linear(hidden, 1)
        self.colour = nn.Linear(hidden, hidden // 2)
        self.rgb = nn.Linear(hidden // 2, 3)
        self.shading = FeaturePlane(SHADING_CELLS, SHADING_CELLS, 3 * direction_width, 0.0)

    def forward(
        self, positions: Tensor, condition: Tensor, direction: Tensor, frame: Tensor, deformation: Tensor | None = None
    ):
        """Density and colour at positions.

        Args:
            positions: [N, 3], head space, cm.
            condition: [F, condition_width], e_in of F frames.
            direction: [F, direction_width], standardised head pose of F frames.
            frame: [N] int, index of each position's frame, 0 to F - 1.
            deformation: [F, cells², 2], motion of the face (``FaceDeformation``), or None.

        Returns:
            density [N], non-negative, per cm, and rgb [N, 3] in [0, 1].
        """
        if self.backend.uses_kernels("triplane", positions):
            return self._native(positions, condition, direction, frame, deformation)
        if deformation is not None:
            positions = to_canonical(positions, deformation, frame, self.low, self.size)
        unit = ((positions - self.low) / self.size).unbind(-1)
        features = [p(unit[a], unit[b]) for p, (a, b, _, _) in zip(self.static, STATIC_PLANES, strict=True)]
        per_sample = expand_frames(frame, len(condition))
        for plane, gate, part in zip(self.moving, self.gates, self.parts, strict=True):
            across, down = ((positions[:, i] - part.low[i]) / part.size[i] for i in (0, 1))
            features.append(plane(across, down) * per_sample(gate(part.inputs(condition))))
        hidden = self.first(torch.cat(features, -1))
        if self.code_width:
            hidden = hidden + per_sample(self.bias(condition[:, -self.code_width :]))
        hidden = functional.relu(hidden)
        hidden = functional.relu(self.second(hidden))
        density = torch.exp(
            (self.density(hidden)[:, 0] + head_prior(positions, (unit[0], unit[1]), self.relief)).clamp(-12.0, 6.0)
        )
        colour = functional.relu(self.colour(hidden))
        # the head turns under fixed lights: at each position the change of colour is modelled as linear in the pose
        slopes = self.shading(unit[0], unit[1]).view(len(positions), 3, direction.shape[1])
        light = (slopes * per_sample(direction)[:, None]).sum(-1)
        return density, torch.sigmoid(self.rgb(colour) + light)

    def _native(
        self, positions: Tensor, condition: Tensor, direction: Tensor, frame: Tensor, deformation: Tensor | None
    ):
        """``forward`` by the compiled kernels."""
        field = self.batch_field(condition, direction, deformation)
        return triplane_field(
            positions,
            frame,
            field.gates,
            field.bias,
            field.light,
            field.planes,
            field.shading,
            field.weights,
            field.prior,
            field.bend,
        )

    def batch_field(self, condition: Tensor, direction: Tensor, deformation: Tensor | None) -> FieldOfFrames:
        """The field with the conditions of F frames, as arguments of the kernels with gradients.

        Args:
            condition: [F, condition_width], e_in.
            direction: [F, direction_width], standardised head pose.
            deformation: [F, cells², 2], motion of the face (``FaceDeformation``), or None.
        """
        static, moving = self._specs()
        cells = self.shading.table.view(len(self.shading.table), 3, -1)
        light = torch.einsum("pcd,fd->fpc", cells, direction)
        gated = [gate(part.inputs(condition)) for gate, part in zip(self.gates, self.parts, strict=True)]
        gates = torch.cat(gated, -1) if gated else condition.new_zeros(len(condition), 0)
        bias = self.first.bias.expand(len(condition), -1)
        if self.code_width:
            bias = bias + self.bias(condition[:, -self.code_width :])
        shading = self._spec(self.shading, 0, 1)
        # under autocast torch computes these in another type
        gates, bias, light = (values.to(self.first.bias.dtype) for values in (gates, bias, light))
        return FieldOfFrames(
            gates, bias, light, [*static, *moving], shading, self._weights(), self._prior(), deformation
        )

    @torch.no_grad()
    def frame_field(
        self, condition: Tensor, direction: Tensor, deformation: Tensor | None, precision: str = "fp32"
    ) -> FrameField:
        """The field with the condition of one frame, as arguments of the rendering kernels.

        The first layer is linear in the planes' features, so the planes are multiplied by it in advance: the static
        planes once for all frames, the planes of the parts per frame. The first layer then is a sum over planes, and
        planes over the same axes can be merged.

        Args:
            condition: [1, condition_width], e_in.
            direction: [1, direction_width], standardised head pose.
            deformation: [1, cells², 2], motion of the face (``FaceDeformation``), or None.
            precision: "fp32" or "bf16", the precision of the kernels.
        """
        layout = neighbour_pairs if precision == "bf16" else Tensor.contiguous
        static, moving = self._specs()
        columns = self.first.weight.split(static[0].table.shape[1], 1)
        static_planes = self._premultiplied[precision].get(
            (*(spec.table for spec in static), self.first.weight),
            lambda: [
                replace(s, table=layout(s.table))
                for s in merge_planes([replace(s, table=s.table @ w.T) for s, w in zip(static, columns, strict=False)])
            ],
        )
        gates = [gate(part.inputs(condition))[0] for gate, part in zip(self.gates, self.parts, strict=True)]
        part_planes = [
            replace(spec, table=layout(spec.table @ (w * gate).T))
            for spec, gate, w in zip(moving, gates, columns[len(static) :], strict=True)
        ]
        planes = [*static_planes, *part_planes]
        bias = self.first.bias
        if self.code_width:
            bias = bias + self.bias(condition[:, -self.code_width :])[0]
        light = (self.shading.table.view(len(self.shading.table), 3, -1) * direction[0]).sum(-1)
        shading = self._spec(self.shading, 0, 1)
        frame_deformation = None if deformation is None else deformation[0]
        return FrameField(planes, bias, light, shading, self._weights()[1:], self._prior(), frame_deformation)

    def _prior(self) -> Prior:
        return Prior(HEAD_CENTRE, HEAD_RADII, self.relief)

    def _spec(self, plane: Any, a: int, b: int) -> PlaneSpec:
        low, size = cached_list(self.low), cached_list(self.size)
        return PlaneSpec(plane.table, plane.height, plane.width, (a, b), (low[a], low[b]), (size[a], size[b]))

    def _specs(self) -> tuple[list[PlaneSpec], list[PlaneSpec]]:
        """The static planes, and the planes of the parts, as arguments of the kernels."""
        static = [self._spec(p, a, b) for p, (a, b, _, _) in zip(self.static, STATIC_PLANES, strict=True)]
        return static, [_part_spec(p, part) for p, part in zip(self.moving, self.parts, strict=True)]

    def _weights(self) -> list[Tensor]:
        """Weights of the MLP, in the order of ``jean.kernels.structures.WEIGHTS``."""
        layers = (self.second, self.density, self.colour, self.rgb)
        return [self.first.weight, *(tensor for layer in layers for tensor in (layer.weight, layer.bias))]

    def parameter_groups(self) -> list[ParameterGroup]:
        """The static planes and the planes of the parts, each group with its own learning rate."""
        planes = [plane.get_parameter("table") for plane in (*self.static, self.shading)]
        parts = [plane.get_parameter("table") for plane in self.moving]
        return [ParameterGroup(planes, PLANE_RATE, PLANE_EPS), ParameterGroup(parts, PART_RATE, PLANE_EPS)]

    def roughness(self) -> Tensor:
        """Smoothness prior, summed over all planes."""
        return torch.stack(
            [plane.roughness(self.backend) for plane in (*self.static, *self.moving, self.shading)]
        ).sum()

    def movement(self) -> Tensor:
        """Penalty on appearance that depends on the condition: the mean square of the parts' planes."""
        if not self.parts:
            return self.first.weight.new_zeros(())
        return torch.stack([plane.get_parameter("table").square().mean() for plane in self.moving]).sum()


def merge_planes(planes: Sequence[PlaneSpec]) -> list[PlaneSpec]:
    """Merges planes without changing their sum: a coarse plane is added to a finer one over the same axes.

    Two planes are merged if the cells of the finer one divide those of the coarser one evenly.

    Args:
        planes: all over the same box; a coarse plane stands before a finer one over the same axes.
    """
    merged: list[PlaneSpec] = []
    for plane in planes:
        table, others = plane.table, []
        for other in merged:
            if other.axes == plane.axes and _divides(other, plane):
                table = table + refine_plane(
                    other.table, other.height, other.width, (plane.height - 1) // (other.height - 1)
                )
            else:
                others.append(other)
        merged = [*others, replace(plane, table=table)]
    return merged


def _divides(coarse: PlaneSpec, fine: PlaneSpec) -> bool:
    """Whether the fine plane divides the coarse plane's cells evenly, by the same number in both directions."""
    times, remainder = divmod(fine.height - 1, coarse.height - 1)
    return remainder == 0 and fine.width - 1 == times * (coarse.width - 1)


def _part_spec(plane: Any, part: Part) -> PlaneSpec:
    return PlaneSpec(plane.features(), plane.height, plane.width, (0, 1), part.low, part.size)
