"""The CUDA driver by ctypes: loads and launches kernels in torch's context.

A launch neither waits nor allocates, so it can be captured in a CUDA graph.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from jean.errors import SetupError


class Driver:
    """The functions of the CUDA driver that kernels need.

    Args:
        library: libcuda, or a stand-in with the same functions.
    """

    def __init__(self, library: Any):
        self.library = library

    def enter(self, device: int) -> None:
        """Makes torch's context of a GPU current in this thread if it has none (autograd's threads have none)."""
        context = ctypes.c_void_p()
        self._call("cuCtxGetCurrent", ctypes.byref(context))
        if context.value:
            return
        number = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(number), ctypes.c_int(device))
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), number)
        self._call("cuCtxSetCurrent", context)

    def function(self, cubin: bytes, name: str, shared: int = 0) -> ctypes.c_void_p:
        """Loads a kernel into the current context, for the life of the process.

        Args:
            cubin: the compiled unit.
            name: of the kernel.
            shared: bytes of dynamic shared memory that launches will need.
        """
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), cubin)
        self._call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        if shared > 48 * 1024:  # more has to be requested: CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
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
        """Launches a kernel on a stream.

        Args:
            function: of ``function``.
            blocks: along x, or along x and y; with 0 blocks nothing is launched.
            threads: per block.
            stream: handle of the stream.
            arguments: ctypes values, in the kernel's order.
            shared: bytes of dynamic shared memory.
        """
        x, y = blocks if isinstance(blocks, tuple) else (blocks, 1)
        if x * y == 0:
            return
        addresses = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(value) for value in arguments))
        size = [ctypes.c_uint(n) for n in (x, y, 1, threads, 1, 1, shared)]
        self._call("cuLaunchKernel", function, *size, ctypes.c_void_p(stream), addresses, None)

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self.library, name)(*arguments)
        if code != 0:
            text = ctypes.c_char_p()
            self.library.cuGetErrorString(ctypes.c_int(code), ctypes.byref(text))
            raise RuntimeError(f"{name}: {(text.value or b'error').decode()} ({code})")


@lru_cache(maxsize=1)
def driver() -> Driver:
    """The driver of this machine, which torch has initialised.

    Raises:
        SetupError: this machine has no CUDA driver.
    """
    try:
        return Driver(ctypes.CDLL("libcuda.so.1"))
    except OSError as error:
        raise SetupError(f"no CUDA driver: {error}.", "See: jean doctor") from error
