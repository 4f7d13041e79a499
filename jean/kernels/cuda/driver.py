"""Kernels on a card: the CUDA driver by ctypes, on torch's context and stream.

A launch neither waits nor allocates, so that it can be part of a CUDA graph.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from jean.errors import SetupError


class Driver:
    """The driver's functions that are used here.

    Args:
        library: libcuda; tests give something else that has its functions.
    """

    def __init__(self, library: Any):
        self.library = library

    def enter(self, device: int) -> None:
        """Gives this thread torch's context of a card, where it has none yet (autograd's threads)."""
        context = ctypes.c_void_p()
        self._call("cuCtxGetCurrent", ctypes.byref(context))
        if context.value:
            return
        number = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(number), ctypes.c_int(device))
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), number)
        self._call("cuCtxSetCurrent", context)

    def function(self, cubin: bytes, name: str, shared: int = 0) -> ctypes.c_void_p:
        """A kernel of a cubin, loaded into the current context for as long as the process lives.

        Args:
            shared: bytes of shared memory that a launch will ask for.
        """
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), cubin)
        self._call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        if shared > 48 * 1024:  # above that, CUDA wants to be asked: CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            self._call("cuFuncSetAttribute", function, ctypes.c_int(8), ctypes.c_int(shared))
        return function

    def launch(
        self,
        function: ctypes.c_void_p,
        blocks: int | tuple[int, int],
        threads: int,
        stream: int,
        arguments: Sequence[Any],
        shared: int = 0,
    ) -> None:
        """Puts a kernel on a stream.

        Args:
            blocks: along x, or along x and y; none, no launch.
            threads: of a block.
            stream: its handle.
            arguments: ctypes values, in the kernel's order.
            shared: bytes of shared memory beside what the kernel has.
        """
        x, y = blocks if isinstance(blocks, tuple) else (blocks, 1)
        if x * y == 0:
            return
        places = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(value) for value in arguments))
        size = [ctypes.c_uint(n) for n in (x, y, 1, threads, 1, 1, shared)]
        self._call("cuLaunchKernel", function, *size, ctypes.c_void_p(stream), places, None)

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self.library, name)(*arguments)
        if code != 0:
            text = ctypes.c_char_p()
            self.library.cuGetErrorString(ctypes.c_int(code), ctypes.byref(text))
            raise RuntimeError(f"{name}: {(text.value or b'error').decode()} ({code})")


@lru_cache(maxsize=1)
def driver() -> Driver:
    """The machine's driver, which torch has started.

    Raises:
        SetupError: there is none.
    """
    try:
        return Driver(ctypes.CDLL("libcuda.so.1"))
    except OSError as error:
        raise SetupError(f"no CUDA driver: {error}.", "See: jean doctor") from error
