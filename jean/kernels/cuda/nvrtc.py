"""NVRTC, the CUDA compiler in the form of a library, by ctypes.

It comes with torch's CUDA wheels. It needs neither torch nor a GPU nor a driver, so ``jean kernels build --arch`` works
on any machine.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from jean.errors import SetupError, UsageError

REMEDY = "pip install nvidia-cuda-nvrtc"


class NvrtcError(Exception):
    """The source does not compile; the message is that of the compiler."""


@dataclass(frozen=True)
class Nvrtc:
    """The loaded library.

    Attributes:
        path: of the library; a bare name if the system's linker found it.
        version: such as "13.2".
        architectures: those it compiles for, such as "sm_90", the oldest first.
        library: the loaded library.
    """

    path: str
    version: str
    architectures: tuple[str, ...]
    library: ctypes.CDLL

    def require(self, architectures: Sequence[str]) -> None:
        """Checks names of architectures.

        Raises:
            UsageError: not the name of an architecture.
            SetupError: this NVRTC does not compile for it.
        """
        supported = f"NVRTC {self.version} compiles for {', '.join(self.architectures)}"
        for name in architectures:
            if not re.fullmatch(r"sm_\d+[af]?", name):
                raise UsageError(f"{name!r} is not an architecture.", f"{supported}.")
            # sm_90a and sm_100f are sm_90 and sm_100 with features of that GPU, or its family, only
            if name.rstrip("af") not in self.architectures:
                raise SetupError(
                    f"{name} is unknown here: {supported}.", "Install another release of nvidia-cuda-nvrtc."
                )

    def compile(
        self, source: str, name: str, headers: Mapping[str, str], architecture: str, options: Sequence[str] = ()
    ) -> tuple[bytes, str]:
        """Compiles a source into a cubin; returns it with the log of compiler and assembler.

        Args:
            source: CUDA C++.
            name: of the source in the compiler's messages.
            headers: texts of all included files, by the name in the ``#include``.
            architecture: such as "sm_90".
            options: further options of NVRTC.

        Raises:
            NvrtcError: the source does not compile.
        """
        names, texts = _strings(headers), _strings(headers.values())
        program = ctypes.c_void_p()
        call, library = self._call, self.library
        call(
            library.nvrtcCreateProgram,
            ctypes.byref(program),
            source.encode(),
            name.encode(),
            len(headers),
            texts,
            names,
        )
        try:
            flags = _strings([f"--gpu-architecture={architecture}", *options])
            code = library.nvrtcCompileProgram(program, len(flags), flags)
            log = self._read(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
            if code != 0:
                raise NvrtcError(log.strip() or self._name(code))
            return self._read(program, "CUBIN"), log
        finally:
            library.nvrtcDestroyProgram(ctypes.byref(program))

    def _read(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(self.library[f"nvrtcGet{what}Size"], program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(self.library[f"nvrtcGet{what}"], program, buffer)
        return buffer.raw

    def _call(self, function, *arguments) -> None:
        code = function(*arguments)
        if code != 0:
            raise NvrtcError(self._name(code))

    def _name(self, code: int) -> str:
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p
        return self.library.nvrtcGetErrorString(code).decode()


def _strings(values: Iterable[str]) -> ctypes.Array:
    encoded = [value.encode() for value in values]
    return (ctypes.c_char_p * len(encoded))(*encoded)


def candidates() -> list[str]:
    """Possible paths of NVRTC, the preferred one first: torch's wheels, the CUDA toolkit, the linker's path."""
    spec = find_spec("nvidia")  # torch's wheels install their libraries below one namespace package
    folders = [Path(root) for root in (spec.submodule_search_locations or [])] if spec else []
    paths = [path for folder in folders for path in sorted(folder.glob("*/lib/libnvrtc.so.*"), reverse=True)]
    for root in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        if root:
            paths += sorted(Path(root).glob("lib64/libnvrtc.so*"))
    linked = ctypes.util.find_library("nvrtc")
    return [str(path) for path in paths if ".alt." not in path.name] + ([linked] if linked else [])


@lru_cache(maxsize=1)
def load() -> Nvrtc | None:
    """Loads the first NVRTC that can compile cubins; None if there is none."""
    for path in candidates():
        try:
            # NVRTC opens its builtins by name when it compiles, so they have to be loaded before
            for builtins in sorted(Path(path).parent.glob("libnvrtc-builtins.so.*")):
                if ".alt." not in builtins.name:
                    ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
            library = ctypes.CDLL(path)
            major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
            library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
            library.nvrtcGetNumSupportedArchs(ctypes.byref(count))
            numbers = (ctypes.c_int * count.value)()
            library.nvrtcGetSupportedArchs(numbers)
        except (OSError, AttributeError):
            continue
        names = tuple(f"sm_{number}" for number in numbers)
        return Nvrtc(path, f"{major.value}.{minor.value}", names, library)
    return None


def require() -> Nvrtc:
    """``load``, but raises SetupError if there is no NVRTC."""
    compiler = load()
    if compiler is None:
        raise SetupError("NVRTC, which compiles the CUDA kernels, was not found.", f"Run: {REMEDY}")
    return compiler
