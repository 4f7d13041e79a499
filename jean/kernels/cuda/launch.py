"""Launches the kernels of ``csrc/cuda`` on torch's tensors and torch's current stream."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from jean.kernels.arguments import RenderCall
from jean.kernels.cuda.build import build_unit
from jean.kernels.cuda.driver import Driver, driver
from jean.kernels.structures import CUDA_COARSE, MAX_PLANES

HIDDEN, COLOUR_WIDTH = 64, 32  # picture.cu: widths of the fast field's layers
THREADS = 128  # per block
BLOCKS_PER_MULTIPROCESSOR = 3  # of picture.cu, limited by registers


def architecture(device: torch.device) -> str:
    """Name of a GPU's architecture; "sm_90" for an H200."""
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"


@lru_cache
def _kernel(unit: str, name: str, device: torch.device) -> ctypes.c_void_p:
    return driver().function(build_unit(unit, architecture(device)).path.read_bytes(), name)


class Launcher:
    """Launches kernels on a GPU's current stream. Tests replace it with an emulator that has the same call.

    Args:
        device: the GPU.
    """

    def __init__(self, device: torch.device):
        self.device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
        self.multiprocessors = torch.cuda.get_device_properties(self.device).multi_processor_count

    def __call__(
        self, unit: str, name: str, blocks: int | tuple[int, int], *arguments: Any, threads: int = THREADS
    ) -> None:
        """Launches one kernel.

        Args:
            unit: the source in ``csrc/cuda``, without suffix.
            name: of the kernel.
            blocks: along x, or along x and y.
            arguments: C structures, tensors (passed by address), None (a null pointer) and integers (64 bits).
            threads: per block.
        """
        with torch.cuda.device(self.device):
            gpu: Driver = driver()
            gpu.enter(self.device.index)
            stream = torch.cuda.current_stream(self.device).cuda_stream
            function = _kernel(unit, name, self.device)
            gpu.launch(function, blocks, threads, stream, [_as_c(argument) for argument in arguments])


def launch_render(call: RenderCall, launcher: Any = None) -> None:
    """Computes the outputs of a fused rendering call on its GPU.

    Args:
        call: with tensors on the GPU.
        launcher: see ``Launcher``; None: that of the call's device.

    Raises:
        ValueError: a field of other widths or dtype, or more lookups than the kernels take.
    """
    march, field = call.march, call.field
    if (
        (field.hidden, field.colour_width) != (HIDDEN, COLOUR_WIDTH)
        or field.planes > MAX_PLANES
        or march.coarse > CUDA_COARSE
    ):
        raise ValueError(
            f"the kernels take {HIDDEN} and {COLOUR_WIDTH} hidden values and at most {CUDA_COARSE} lookups per ray"
        )
    if any(tensor.dtype != torch.float32 for tensor in call.held):
        raise ValueError("the kernels take a field in single precision")
    if march.rays == 0:
        return
    launch = launcher or Launcher(call.device)
    edges = torch.empty(march.rays, march.samples + 1, device=call.device)
    listed = torch.empty(march.rays, dtype=torch.int32, device=call.device)
    counters = torch.zeros(2, dtype=torch.int32, device=call.device)
    launch("picture", "jean_march", parts(march.rays, THREADS), march, call.out, edges, listed, counters)
    blocks = min(parts(march.rays, THREADS), BLOCKS_PER_MULTIPROCESSOR * launch.multiprocessors)
    launch("picture", "jean_picture", blocks, field, march, call.out, edges, listed, counters)


def launch_rays(name: str, count: int, device: torch.device, *arguments: Any, launcher: Any = None) -> None:
    """Launches a kernel of rays.cu with one thread for each of ``count`` rays; see ``launch_render``."""
    if count:
        launch = launcher or Launcher(device)
        launch("rays", name, parts(count, THREADS), *arguments)


def parts(count: int, size: int) -> int:
    """Number of parts of ``size`` that cover ``count``; the last may be smaller."""
    return -(-count // size)


def _as_c(value: Any) -> Any:
    if value is None or isinstance(value, Tensor):
        return ctypes.c_void_p(None if value is None else value.data_ptr())
    return ctypes.c_int64(value) if isinstance(value, int) else value
