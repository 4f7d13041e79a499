"""Fused rendering of the fast head without gradients: rays of one frame, or whole pixels, in one call.

Rays are those of ``csrc/picture.h`` (GPU: ``csrc/cuda/picture.cu``); pixels, with torso and background, are those of
``csrc/torso.h`` and have kernels on the CPU only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jean.kernels import library, structures
from jean.kernels.arguments import MIN_TRANSMITTANCE, FrameField, PlaneSpec, RenderCall
from jean.kernels.ops.common import target_number
from jean.kernels.reference import Composite

COARSE = 48  # grid lookups per ray: about one per cell of the fast head's grid
_TORSO = ("bend_first", "bend_bias", "bend_second", "bend_second_bias", "bias", "last", "last_bias")


@dataclass(frozen=True)
class FrameTorso:
    """The torso layer under one head pose; widths are multiples of 16, at most 64.

    Attributes:
        planes: two, with tables [height * width, hidden] already multiplied by the layer that reads them.
        bend_first: [2, bend_hidden].
        bend_bias: [bend_hidden], including the pose.
        bend_second: [2, bend_hidden].
        bend_second_bias: [2].
        bias: [hidden], including the pose.
        last: [4, hidden].
        last_bias: [4].
        reach: largest shift, as a fraction of the image's side.
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
class FrameScene:
    """Everything that one frame shows but its background.

    Attributes:
        field: the head.
        grid: [D, H, W] sampling densities over the box from ``low`` [3] to ``high`` [3].
        torso: the layer behind the head.
        samples: per ray.
        full_samples_opacity: see ``render_rays_fused``.
    """

    field: FrameField
    grid: Tensor
    low: Tensor
    high: Tensor
    torso: FrameTorso
    samples: int
    full_samples_opacity: float = 0.0

    def paint(
        self,
        camera_to_world: Tensor,
        focal_px: float,
        center_px: tuple[float, float],
        size_px: int,
        pixels: Tensor,
        background: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """``render_pixels_fused`` of this frame."""
        return render_pixels_fused(self, camera_to_world, focal_px, center_px, size_px, pixels, background)


def neighbour_pairs(table: Tensor) -> Tensor:
    """A table for bf16 kernels: each value of ``table`` [cells, hidden] beside that of the next cell.

    Returns:
        bf16 [cells, hidden, 2].
    """
    # 32-bit integers with the first value in the lower half: four times as fast as torch.stack, and the planes of the
    # face's parts take it in every frame
    rounded = table.bfloat16().view(torch.int16).int()
    both = rounded & 0xFFFF
    both[:-1] |= rounded[1:] << 16
    both[-1:] |= rounded[-1:] << 16
    return both.view(torch.bfloat16).view(*table.shape, 2)


def _field_target(field: FrameField, target: str | None) -> int:
    """Number of the instruction set; None: the fastest for the field's precision."""
    if field.precision == "bf16":
        target = target or "avx512bf16"  # AMX has no such kernels, and every processor with AMX has these
    return target_number(torch.float32, target, field.precision)


@torch.no_grad()
def render_rays_fused(
    field: FrameField,
    grid: Tensor,
    low: Tensor,
    high: Tensor,
    origins: Tensor,
    directions: Tensor,
    samples: int,
    coarse: int = COARSE,
    full_samples_opacity: float = 0.0,
    target: str | None = None,
) -> Composite:
    """Colour, opacity and depth of rays of one frame; no weights of samples, no gradients.

    Args:
        field: the field under the frame's condition.
        grid: [D, H, W] sampling densities over the box from ``low`` [3] to ``high`` [3].
        origins: [R, 3], head space, cm; their device decides which kernels run.
        directions: [R, 3], of length 1.
        samples: per ray, at most 64 on the CPU.
        coarse: grid lookups per ray, at most 256, on a GPU 64.
        full_samples_opacity: rays whose opacity in the grid is lower get fewer samples
            (``jean.kernels.reference.sample_counts``); 0: all rays get all samples.
        target: CPU instruction set; None: the fastest.

    Raises:
        ValueError: more samples or lookups than the kernels take.
        SetupError: the kernels are not built.
    """
    call = RenderCall(field, grid, low, high, origins, directions, samples, coarse, full_samples_opacity)
    if origins.is_cuda:
        from jean.kernels.cuda.launch import launch_render  # the CPU needs none of it

        launch_render(call)
        return call.result()
    if coarse > structures.MAX_COARSE or samples > structures.MAX_SAMPLES:
        raise ValueError(f"at most {structures.MAX_COARSE} lookups and {structures.MAX_SAMPLES} samples per ray")
    number = _field_target(field, target)
    library.call("jean_picture", call.field, call.march, call.out, number, torch.get_num_threads())
    return call.result()


@torch.no_grad()
def render_pixels_fused(
    scene: FrameScene,
    camera_to_world: Tensor,
    focal_px: float,
    center_px: tuple[float, float],
    size_px: int,
    pixels: Tensor,
    background: Tensor,
    target: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Pixels of one frame on the CPU: the head over the torso over a background.

    Args:
        scene: the frame.
        camera_to_world: [4, 4], OpenCV axes, cm.
        focal_px: focal length in pixels of the image.
        center_px: principal point (x, y).
        size_px: side of the image.
        pixels: [R, 2] positions (x, y), px; the centre of a pixel lies at a half-integer.
        background: [R, 3].
        target: CPU instruction set; None: the fastest.

    Returns:
        rgb [R, 3] and depth [R], cm, which is 0 where the head is not opaque.

    Raises:
        SetupError: the kernels are not built.
    """
    number, torso = _field_target(scene.field, target), scene.torso
    none = pixels.new_empty(0, 3)  # the kernels compute the rays from the camera
    grid = (scene.grid, scene.low, scene.high)
    call = RenderCall(scene.field, *grid, none, none, scene.samples, COARSE, scene.full_samples_opacity)
    layer = structures.Torso(bend_hidden=len(torso.bend_bias), hidden=len(torso.bias), reach=torso.reach)
    for plane, spec in zip(layer.plane, torso.planes, strict=True):
        call.fill_plane(plane, spec)
    for name in _TORSO:
        setattr(layer, name, call.pointer(getattr(torso, name)))
    rgb, depth = torch.empty(len(pixels), 3), torch.empty(len(pixels))
    view = structures.View(count=len(pixels), focal_px=focal_px, size_px=size_px, min_transmittance=MIN_TRANSMITTANCE)
    view.center_px[:] = center_px
    view.camera_to_world[:] = camera_to_world[:3].flatten().tolist()
    view.pixels, view.background = call.pointer(pixels), call.pointer(background)
    view.rgb, view.depth = rgb.data_ptr(), depth.data_ptr()
    library.call("jean_paint", call.field, call.march, layer, view, number, torch.get_num_threads())
    return rgb, depth
