"""What rays see of the fast field under one frame's condition, in one call (``csrc/picture.h``)."""

from __future__ import annotations

import torch
from torch import Tensor

from jean.kernels import library, structures
from jean.kernels.arguments import FrameField, PictureCall
from jean.kernels.reference import Composite


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
    if coarse > structures.MAX_COARSE or samples > structures.MAX_SAMPLES:
        raise ValueError(f"at most {structures.MAX_COARSE} lookups and {structures.MAX_SAMPLES} samples a ray")
    number = number_of(field, target)
    call = PictureCall(field, grid, low, high, origins, directions, samples, coarse, thick)
    library.call("jean_picture", call.field, call.march, call.out, number, torch.get_num_threads())
    return call.result()
