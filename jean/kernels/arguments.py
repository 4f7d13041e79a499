"""What the fast field's operations take, and how it is written into the C structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jean.kernels import structures
from jean.kernels.reference import SPREAD, Composite
from jean.kernels.structures import WEIGHTS

# Of the light, below which a ray ends: what is left changes a picture by less than this (74 dB).
ENOUGH = 2e-4


@dataclass(frozen=True)
class PlaneSpec:
    """A plane of features over two axes of space.

    Attributes:
        table: [height * width, 16].
        height: cells along the second axis; width: along the first.
        axes: numbers of the first and the second axis.
        low: coordinates of its first cell on both axes, cm; size: its extent.
    """

    table: Tensor
    height: int
    width: int
    axes: tuple[int, int]
    low: tuple[float, float]
    size: tuple[float, float]


@dataclass(frozen=True)
class Prior:
    """A mean head: an ellipsoid with a face's relief (``jean.models.head.prior``).

    Attributes:
        centre, radii: of the ellipsoid, cm.
        relief: [cells², 1], how much deeper its front lies, cm, over the box of the shading plane; or empty.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    relief: Tensor


@dataclass(frozen=True)
class FrameField:
    """The fast field under one condition.

    Attributes:
        planes: with tables [height * width, hidden], already multiplied by gates and the first layer; or, for
            kernels in bf16, as ``pairs`` makes them.
        bias: [hidden], of the first layer.
        light: [shading cells, 3]; shading: where they lie.
        weights: as in ``jean.kernels.ops.triplane.WEIGHTS``, without the first.
        prior: the mean head.
        bend: [cells², 2], cm, motion of the face, over the same box; None: it lies at rest.
    """

    planes: Sequence[PlaneSpec]
    bias: Tensor
    light: Tensor
    shading: PlaneSpec
    weights: Sequence[Tensor]
    prior: Prior
    bend: Tensor | None = None

    @property
    def precision(self) -> str:
        """ "bf16" where the planes are pairs, else "fp32"."""
        return "bf16" if self.planes and self.planes[0].table.dtype == torch.bfloat16 else "fp32"


class PictureCall:
    """The C structures of one picture, and the tensors that they point into; arguments as of ``picture``."""

    def __init__(
        self,
        field: FrameField,
        grid: Tensor,
        low: Tensor,
        high: Tensor,
        origins: Tensor,
        directions: Tensor,
        samples: int,
        coarse: int,
        thick: float = 0.0,
    ):
        structures.check_cells(grid.numel())
        self.held: list[Tensor] = []  # what the structures point at must live until the call is over
        pointer = self.pointer
        call = structures.Field(
            planes=len(field.planes), hidden=len(field.bias), half=field.weights[4].shape[0], frames=1
        )
        for index, spec in enumerate(field.planes):
            plane = call.plane[index]
            plane.table = pointer(spec.table)
            plane.height, plane.width = spec.height, spec.width
            plane.first_axis, plane.second_axis = spec.axes
            plane.low[:], plane.size[:] = spec.low, spec.size
        call.light_height, call.light_width = field.shading.height, field.shading.width
        call.light_low[:], call.light_size[:] = field.shading.low, field.shading.size
        call.prior_centre[:], call.prior_radii[:] = field.prior.centre, field.prior.radii
        call.relief, call.relief_cells = pointer(field.prior.relief), round(len(field.prior.relief) ** 0.5)
        if field.bend is not None:
            call.bend, call.bend_cells = pointer(field.bend), round(len(field.bend) ** 0.5)
        call.bias, call.light = pointer(field.bias), pointer(field.light)
        for name, tensor in zip(WEIGHTS[1:], field.weights, strict=True):
            setattr(call, name, pointer(tensor))
        march = structures.March(rays=len(origins), coarse=coarse, samples=samples, spread=SPREAD, thick=thick)
        march.cells[:] = grid.shape[::-1]
        march.low[:], march.high[:] = on_host(low), on_host(high)
        march.grid, march.origins, march.directions = pointer(grid), pointer(origins), pointer(directions)
        rays, device = len(origins), origins.device
        self.made = [torch.empty(shape, device=device) for shape in ((rays, 3), (rays,), (rays,))]
        self.device, self.field, self.march = device, call, march
        self.out = structures.Picture(*(t.data_ptr() for t in self.made), enough=ENOUGH)

    def result(self) -> Composite:
        """What the call has written."""
        colour, opacity, depth = self.made
        return Composite(colour, opacity, depth, colour.new_empty(len(colour), 0))

    def pointer(self, tensor: Tensor) -> int:
        """Address of a tensor's numbers, contiguous float32 or bf16, which live as long as this call."""
        kept = tensor.detach() if tensor.dtype == torch.bfloat16 else tensor.detach().float()
        self.held.append(kept.contiguous())
        return self.held[-1].data_ptr()


def on_host(values: Tensor) -> list[float]:
    """A small tensor's numbers; those on a card are kept with it, so that it is waited for once only."""
    if not values.is_cuda:
        return values.tolist()
    kept = getattr(values, "_kept_on_host", None)
    if kept is None or kept[0] != values._version:
        kept = (values._version, values.tolist())
        values._kept_on_host = kept  # type: ignore[attr-defined]
    return kept[1]
