"""Gaussians on a GPU: values and gradients by ``csrc/cuda/splat.cu``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from jean.kernels import structures
from jean.kernels.cuda.launch import THREADS, Launcher, parts
from jean.kernels.reference_splat import TILE

SUMS = 16  # of a Gaussian over pixels, and places for the camera's gradients


def launch_splat(call: structures.Splats, order: Tensor, launcher: Any = None) -> None:
    """Computes records, order, radii and the three pictures, in single precision.

    Nothing waits for the GPU, and the memory depends on the shapes alone.

    Args:
        call: C structure with addresses on the GPU.
        order: int32 [N], the memory behind ``call.order``. Here Gaussians that are not visible come last.
        launcher: see ``jean.kernels.cuda.launch.Launcher``; None: that of the GPU of ``order``.
    """
    launch = launcher or Launcher(order.device)
    if call.count:
        keys = torch.empty_like(order)
        launch("splat", "jean_splat_project", parts(call.count, THREADS), call, keys)
        order.copy_(keys.sort(stable=True).indices)
    if tiles := _tiles(call):
        boxes = _boxes(call, order, launch)
        launch("splat", f"jean_splat_draw_{_channels(call)}", tiles, call, boxes, threads=TILE * TILE)


def launch_splat_backward(
    call: structures.Splats,
    gradients: structures.SplatGradients,
    order: Tensor,
    to_camera: Tensor,
    launcher: Any = None,
) -> None:
    """Computes all gradients. Sums over pixels are added in any order, so last digits differ between runs.

    Args:
        call: as of ``launch_splat``, after it.
        gradients: C structure with addresses on the GPU; those of the camera are not used.
        order: as of ``launch_splat``.
        to_camera: output [16]: world_to_camera, intrinsics, and one number without a meaning.
        launcher: as of ``launch_splat``.
    """
    launch = launcher or Launcher(order.device)
    to_camera.zero_()
    if not call.count:
        return
    sums = to_camera.new_zeros(call.count, SUMS)
    if tiles := _tiles(call):
        boxes = _boxes(call, order, launch)
        name = f"jean_splat_slopes_{_channels(call)}"
        launch("splat", name, tiles, call, gradients, boxes, sums, threads=TILE * TILE)
    launch("splat", "jean_splat_project_back", parts(call.count, THREADS), call, gradients, sums, to_camera)


def _boxes(call: structures.Splats, order: Tensor, launch: Any) -> Tensor:
    """Tiles of each Gaussian in the order of depths, four 16-bit numbers each."""
    boxes = torch.empty(call.count, 2, dtype=torch.int32, device=order.device)
    if call.count:
        launch("splat", "jean_splat_boxes", parts(call.count, THREADS), call, boxes)
    return boxes


def _tiles(call: structures.Splats) -> int:
    return parts(call.window[2], TILE) * parts(call.window[3], TILE)


def _channels(call: structures.Splats) -> int:
    return structures.splat_channels(call.channels)
