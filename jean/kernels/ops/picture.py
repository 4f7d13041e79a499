"""What rays see of the fast field under one frame's condition, in one call (``csrc/picture.h``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jean.kernels import library
from jean.kernels.ops.triplane import WEIGHTS, PlaneSpec, Prior
from jean.kernels.reference import SPREAD, Composite

# Of the light, below which a ray ends: what is left changes a picture by less than this (74 dB).
ENOUGH = 2e-4


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


def pairs(table: Tensor) -> Tensor:
    """bf16 [cells, hidden, 2]: each value of ``table`` [cells, hidden] beside that of the next cell."""
    # as whole numbers of 32 bits, the lower half first: four times as fast as stacking, and a part's planes take it
    # in every frame
    rounded = table.bfloat16().view(torch.int16).int()
    both = rounded & 0xFFFF
    both[:-1] |= rounded[1:] << 16
    both[-1:] |= rounded[-1:] << 16
    return both.view(torch.bfloat16).view(*table.shape, 2)


def number_of(field: FrameField, target: str | None) -> int:
    """The C interface's number of the instruction set for a field's precision; None for the fastest.

    Raises:
        UsageError: not to be had on this processor.
    """
    if field.precision == "bf16":
        return library.HALF_TARGETS[
            library.half_target(target or "avx512bf16")
        ]  # AMX has no pictures, and comes with it
    return library.TARGETS[library.target(target)]


@torch.no_grad()
def picture(
    field: FrameField,
    grid: Tensor,
    low: Tensor,
    high: Tensor,
    origins: Tensor,
    directions: Tensor,
    samples: int,
    coarse: int = 48,
    thick: float = 0.0,
    target: str | None = None,
) -> Composite:
    """Colours, opacity and depth of rays; no weights and no gradients.

    Args:
        field: what is seen.
        grid: [D, H, W] sampling densities over the box from ``low`` [3] to ``high`` [3].
        origins, directions: [R, 3], directions of length 1. Their device decides which kernels run.
        samples: of a ray, 64 at most; coarse: lookups in the grid, 256 at most, on a card 64.
        thick: told opacity below which a ray gets fewer (``jean.kernels.reference.samples_of``); 0: all get all.
        target: the processor's instruction set; None for the fastest.
    """
    if origins.is_cuda:
        from jean.kernels.cuda.launch import launch_picture  # a processor needs none of it

        call = PictureCall(field, grid, low, high, origins, directions, samples, coarse, thick)
        launch_picture(call)
        return call.result()
    if coarse > library.MAX_COARSE or samples > library.MAX_SAMPLES:
        raise ValueError(f"at most {library.MAX_COARSE} lookups and {library.MAX_SAMPLES} samples a ray")
    number = number_of(field, target)
    call = PictureCall(field, grid, low, high, origins, directions, samples, coarse, thick)
    library.call("jean_picture", call.field, call.march, call.out, number, torch.get_num_threads())
    return call.result()


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
        library.check_cells(grid.numel())
        self.held: list[Tensor] = []  # what the structures point at must live until the call is over
        pointer = self.pointer
        call = library.Field(planes=len(field.planes), hidden=len(field.bias), half=field.weights[4].shape[0], frames=1)
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
        march = library.March(rays=len(origins), coarse=coarse, samples=samples, spread=SPREAD, thick=thick)
        march.cells[:] = grid.shape[::-1]
        march.low[:], march.high[:] = on_host(low), on_host(high)
        march.grid, march.origins, march.directions = pointer(grid), pointer(origins), pointer(directions)
        rays, device = len(origins), origins.device
        self.made = [torch.empty(shape, device=device) for shape in ((rays, 3), (rays,), (rays,))]
        self.device, self.field, self.march = device, call, march
        self.out = library.Picture(*(t.data_ptr() for t in self.made), enough=ENOUGH)

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
