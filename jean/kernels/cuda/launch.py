"""The renderer's operations on a card: kernels of ``csrc/cuda`` on torch's tensors and torch's stream."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from jean.kernels.arguments import PictureCall
from jean.kernels.cuda.build import build_unit
from jean.kernels.cuda.driver import Driver, driver
from jean.kernels.structures import CUDA_COARSE, MAX_PLANES

HIDDEN, HALF = 64, 32  # picture.cu: the widths of the fast field's layers
THREADS = 128
BLOCKS_OF_A_PROCESSOR = 3  # as many of picture.cu's blocks as a multiprocessor's registers hold


def architecture(device: torch.device) -> str:
    """ "sm_90" for an H200."""
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"


@lru_cache
def _kernel(unit: str, name: str, device: torch.device) -> ctypes.c_void_p:
    return driver().function(build_unit(unit, architecture(device)).path.read_bytes(), name)


class Launcher:
    """Launches on a card's current stream; tests put another in its place."""

    def __init__(self, device: torch.device):
        self.device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
        self.processors = torch.cuda.get_device_properties(self.device).multi_processor_count

    def __call__(
        self, unit: str, name: str, blocks: int | tuple[int, int], *arguments: Any, threads: int = THREADS
    ) -> None:
        """``blocks`` are along x, or x and y; arguments are C structures, tensors (their addresses are handed
        over), None (a null pointer) and integers (64 bits)."""
        with torch.cuda.device(self.device):
            card: Driver = driver()
            card.enter(self.device.index)
            stream = torch.cuda.current_stream(self.device).cuda_stream
            function = _kernel(unit, name, self.device)
            card.launch(function, blocks, threads, stream, [_as_c(argument) for argument in arguments])


def launch_picture(call: PictureCall, launcher: Any = None) -> None:
    """Fills a picture.

    Args:
        call: on the card.
        launcher: see ``Launcher``.

    Raises:
        ValueError: what the kernels are not made for.
    """
    march, field = call.march, call.field
    if (field.hidden, field.half) != (HIDDEN, HALF) or field.planes > MAX_PLANES or march.coarse > CUDA_COARSE:
        raise ValueError(f"kernels for {HIDDEN} and {HALF} hidden values and at most {CUDA_COARSE} lookups a ray only")
    if any(tensor.dtype != torch.float32 for tensor in call.held):
        raise ValueError("kernels for a field in single precision only")
    if march.rays == 0:
        return
    launch = launcher or Launcher(call.device)
    edges = torch.empty(march.rays, march.samples + 1, device=call.device)
    listed = torch.empty(march.rays, dtype=torch.int32, device=call.device)
    counters = torch.zeros(2, dtype=torch.int32, device=call.device)
    launch("picture", "jean_march", parts(march.rays, THREADS), march, call.out, edges, listed, counters)
    blocks = min(parts(march.rays, THREADS), BLOCKS_OF_A_PROCESSOR * launch.processors)
    launch("picture", "jean_picture", blocks, field, march, call.out, edges, listed, counters)


def launch_rays(name: str, count: int, device: torch.device, *arguments: Any, launcher: Any = None) -> None:
    """Runs a kernel of rays.cu, one thread for each of ``count`` rays; ``launcher`` as in ``launch_picture``."""
    if count:
        launch = launcher or Launcher(device)
        launch("rays", name, parts(count, THREADS), *arguments)


def parts(count: int, size: int) -> int:
    """How many of so many each there are, the last not full."""
    return -(-count // size)


def _as_c(value: Any) -> Any:
    if value is None or isinstance(value, Tensor):
        return ctypes.c_void_p(None if value is None else value.data_ptr())
    return ctypes.c_int64(value) if isinstance(value, int) else value
