"""Arguments of the fast head's operations, and the C structures of one fused rendering call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jean.kernels import structures
from jean.kernels.reference import UNIFORM_WEIGHT, Composite
from jean.kernels.structures import WEIGHTS

# A ray ends at this transmittance: what lies behind changes an image by less (74 dB).
MIN_TRANSMITTANCE = 2e-4


@dataclass(frozen=True)
class PlaneSpec:
    """A plane of features over two axes of space.

    Attributes:
        table: [height * width, channels].
        height: cells along the second axis.
        width: cells along the first axis.
        axes: numbers of the first and the second axis (0 is x).
        low: coordinates of the first cell on both axes, cm.
        size: extent along both axes, cm.
    """

    table: Tensor
    height: int
    width: int
    axes: tuple[int, int]
    low: tuple[float, float]
    size: tuple[float, float]


@dataclass(frozen=True)
class Prior:
    """A mean head: an ellipsoid with the relief of a face (``jean.models.head.prior``).

    Attributes:
        centre: of the ellipsoid, cm.
        radii: of the ellipsoid, cm.
        relief: [cells², 1], how much deeper than the ellipsoid the front of the face lies, cm, over the box of the
            shading plane; or empty.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    relief: Tensor


@dataclass(frozen=True)
class FrameField:
    """The fast field under the condition of one frame, for rendering without gradients.

    Attributes:
        planes: with tables [height * width, hidden], already multiplied by gates and the first layer. For bf16 kernels
            tables are those of ``jean.kernels.ops.render.neighbour_pairs``.
        bias: [hidden], of the first layer.
        light: [shading cells, 3].
        shading: layout of the shading cells; its table is not read.
        weights: in the order of ``jean.kernels.structures.WEIGHTS``, without the first.
        prior: the mean head.
        bend: [cells², 2], cm, deformation to canonical space, over the box of ``shading``; None: no deformation.
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
        """ "bf16" where the tables are pairs of bf16 numbers, else "fp32"."""
        return "bf16" if self.planes and self.planes[0].table.dtype == torch.bfloat16 else "fp32"


class RenderCall:
    """The C structures of one fused rendering call, and the tensors that they point to.

    Args:
        field: the field under one condition.
        grid: [D, H, W] sampling densities over the box from ``low`` [3] to ``high`` [3].
        origins: [R, 3], head space, cm.
        directions: [R, 3], of length 1.
        samples: per ray.
        coarse: grid lookups per ray.
        full_samples_opacity: see ``jean.kernels.reference.sample_counts``; 0: all rays get all samples.

    Attributes:
        held: tensors that must live until the call is over.
        outputs: colour [R, 3], opacity [R] and depth [R].
        field, march, out: the C structures.
    """

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
        full_samples_opacity: float = 0.0,
    ):
        self.held: list[Tensor] = []
        self.device = origins.device
        self.field = self._field(field)
        grid, origins, directions = self._keep(grid), self._keep(origins), self._keep(directions)
        box, weights = [*cached_list(low), *cached_list(high)], (UNIFORM_WEIGHT, full_samples_opacity)
        self.march = fill_march(grid, origins, directions, box, samples, coarse, *weights)
        rays = len(origins)
        self.outputs = [torch.empty(shape, device=self.device) for shape in ((rays, 3), (rays,), (rays,))]
        self.out = structures.Picture(*(t.data_ptr() for t in self.outputs), min_transmittance=MIN_TRANSMITTANCE)

    def result(self) -> Composite:
        """What the call has written."""
        colour, opacity, depth = self.outputs
        return Composite(colour, opacity, depth, colour.new_empty(len(colour), 0))

    def pointer(self, tensor: Tensor) -> int:
        """Address of a tensor as contiguous float32 or bf16; its memory is kept as long as this object."""
        return self._keep(tensor).data_ptr()

    def fill_plane(self, plane: structures.Plane, spec: PlaneSpec) -> None:
        """Writes one plane into its C structure."""
        plane.table = self.pointer(spec.table)
        plane.height, plane.width = spec.height, spec.width
        plane.first_axis, plane.second_axis = spec.axes
        plane.low[:], plane.size[:] = spec.low, spec.size

    def _keep(self, tensor: Tensor) -> Tensor:
        tensor = tensor.detach() if tensor.dtype == torch.bfloat16 else tensor.detach().float()
        self.held.append(tensor.contiguous())
        return self.held[-1]

    def _field(self, field: FrameField) -> structures.Field:
        colour_width = field.weights[WEIGHTS.index("colour") - 1].shape[0]
        to = structures.Field(planes=len(field.planes), hidden=len(field.bias), colour_width=colour_width, frames=1)
        for index, spec in enumerate(field.planes):
            self.fill_plane(to.plane[index], spec)
        to.light_height, to.light_width = field.shading.height, field.shading.width
        to.light_low[:], to.light_size[:] = field.shading.low, field.shading.size
        to.prior_centre[:], to.prior_radii[:] = field.prior.centre, field.prior.radii
        to.relief, to.relief_cells = self.pointer(field.prior.relief), round(len(field.prior.relief) ** 0.5)
        if field.bend is not None:
            to.bend, to.bend_cells = self.pointer(field.bend), round(len(field.bend) ** 0.5)
        to.bias, to.light = self.pointer(field.bias), self.pointer(field.light)
        for name, tensor in zip(WEIGHTS[1:], field.weights, strict=True):
            setattr(to, name, self.pointer(tensor))
        return to


def fill_march(
    grid: Tensor,
    origins: Tensor,
    directions: Tensor,
    box: Sequence[float],
    samples: int,
    coarse: int,
    uniform_weight: float,
    full_samples_opacity: float,
) -> structures.March:
    """The C structure of rays through a sampling grid.

    Args:
        grid: [D, H, W] sampling densities; all tensors are contiguous float32 and must live as long as the structure.
        origins, directions: [R, 3].
        box: low corner, then high corner.
        samples: per ray.
        coarse: grid lookups per ray.
        uniform_weight, full_samples_opacity: see ``jean.kernels.reference.march``.

    Raises:
        ValueError: more cells than a float can number exactly (``rays.h``).
    """
    structures.check_cells(grid.numel())
    march = structures.March(
        rays=len(origins),
        coarse=coarse,
        samples=samples,
        uniform_weight=uniform_weight,
        full_samples_opacity=full_samples_opacity,
    )
    march.cells[:] = grid.shape[::-1]
    march.low[:], march.high[:] = box[:3], box[3:]
    march.grid, march.origins, march.directions = grid.data_ptr(), origins.data_ptr(), directions.data_ptr()
    return march


def cached_list(values: Tensor) -> list[float]:
    """The numbers of a small tensor. Those of a GPU tensor are cached with it, so that the GPU is awaited once only."""
    if not values.is_cuda:
        return values.tolist()
    cache = getattr(values, "_cached_list", None)
    if cache is None or cache[0] != values._version:
        cache = (values._version, values.tolist())
        values._cached_list = cache  # type: ignore[attr-defined]
    return cache[1]
