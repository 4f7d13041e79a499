"""Whole pixels in one call: the head over the torso over a background (``csrc/torso.h``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jean.kernels import library, structures
from jean.kernels.arguments import ENOUGH, FrameField, PictureCall
from jean.kernels.ops.picture import number_of
from jean.kernels.ops.triplane import PlaneSpec


@dataclass(frozen=True)
class FrameTorso:
    """The torso layer under one pose; widths are multiples of 16, 64 at most.

    Attributes:
        planes: two, with tables [height * width, hidden] already multiplied by the layer that reads them.
        bend_first: [2, bend_hidden]; bend_bias: [bend_hidden], with the pose's share.
        bend_second: [2, bend_hidden]; bend_second_bias: [2].
        bias: [hidden], with the pose's share; last: [4, hidden]; last_bias: [4].
        reach: largest shift, share of the image.
    """

    planes: Sequence[PlaneSpec]
    bend_first: Tensor
    bend_bias: Tensor
    bend_second: Tensor
    bend_second_bias: Tensor
    bias: Tensor
    last: Tensor
    last_bias: Tensor
    reach: float


@dataclass(frozen=True)
class Seen:
    """All that one frame shows.

    Attributes:
        field: the head; grid: [D, H, W] its sampling densities over the box from ``low`` [3] to ``high`` [3].
        torso: what is behind it.
        samples: of a ray; thick: told opacity below which it gets fewer, see ``picture``.
    """

    field: FrameField
    grid: Tensor
    low: Tensor
    high: Tensor
    torso: FrameTorso
    samples: int
    thick: float = 0.0


@torch.no_grad()
def paint(
    seen: Seen,
    camera_to_world: Tensor,
    focal_px: float,
    center_px: tuple[float, float],
    size_px: int,
    pixels: Tensor,
    background: Tensor,
    target: str | None = None,
) -> tuple[Tensor, Tensor]:
    """rgb [R, 3] over ``background`` [R, 3] and depth [R], cm (0 where the head is not opaque), on the processor.

    Args:
        seen: the frame.
        camera_to_world: [4, 4]; focal_px, center_px: the camera, in pixels of the picture.
        size_px: side of the picture.
        pixels: [R, 2], px; a pixel's centre lies at a half-integer.
        target: instruction set; None for the fastest.
    """
    number = number_of(seen.field, target)
    nothing = pixels.new_empty(0, 3)
    call = PictureCall(seen.field, seen.grid, seen.low, seen.high, nothing, nothing, seen.samples, 48, seen.thick)
    own = structures.Torso(bend_hidden=len(seen.torso.bend_bias), hidden=len(seen.torso.bias), reach=seen.torso.reach)
    for plane, spec in zip(own.plane, seen.torso.planes, strict=True):
        plane.table = call.pointer(spec.table)
        plane.height, plane.width = spec.height, spec.width
        plane.first_axis, plane.second_axis = spec.axes
        plane.low[:], plane.size[:] = spec.low, spec.size
    for name in ("bend_first", "bend_bias", "bend_second", "bend_second_bias", "bias", "last", "last_bias"):
        setattr(own, name, call.pointer(getattr(seen.torso, name)))
    rgb, depth = torch.empty(len(pixels), 3), torch.empty(len(pixels))
    view = structures.View(count=len(pixels), focal_px=focal_px, size_px=size_px, enough=ENOUGH)
    view.center_px[:] = center_px
    view.camera_to_world[:] = camera_to_world[:3].flatten().tolist()
    view.pixels, view.background = call.pointer(pixels), call.pointer(background)
    view.rgb, view.depth = rgb.data_ptr(), depth.data_ptr()
    library.call("jean_paint", call.field, call.march, own, view, number, torch.get_num_threads())
    return rgb, depth
