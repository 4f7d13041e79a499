"""The compiled kernels: found, loaded by ctypes, and called with tensors' addresses.

Nothing is compiled here. The library is looked for beside this file, where pip puts it, then in the
user's cache, where ``jean kernels build`` puts it if the package's folder cannot be written.
"""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from jean.errors import SetupError, UsageError
from jean.kernels.build import CompileError, cache_folder, compile_library, library_name

REMEDY = "jean kernels build"
TARGETS = {"portable": 0, "avx2": 1, "avx512": 2}
DOUBLE = 3
HALF_TARGETS = {"amx": 5, "avx512bf16": 4}  # factors in bf16, sums in fp32; forward passes of the paper's field only


def places() -> list[Path]:
    """Folders in which the library may be, in this order."""
    return [Path(__file__).parent, cache_folder()]


def find() -> Path | None:
    """The library made of the sources that are there; None if there is none."""
    forced = os.environ.get("JEAN_KERNELS_LIBRARY")
    if forced:
        return Path(forced)
    name = library_name()
    return next((folder / name for folder in places() if (folder / name).is_file()), None)


@lru_cache(maxsize=1)
def load() -> ctypes.CDLL | None:
    """The loaded library; None if there is none for these sources."""
    path = find()
    if path is None:
        return None
    library = ctypes.CDLL(str(path))
    library.jean_source_hash.restype = ctypes.c_char_p
    library.jean_field_saved.restype = ctypes.c_int64
    return library


def build(compiler: str | None = None) -> Path:
    """Compiles the kernels into the package's folder, or into the user's cache if that cannot be written.

    Raises:
        SetupError: no compiler, it failed, or neither folder can be written.
    """
    problem: Exception | None = None
    for folder in places():
        try:
            path = compile_library(folder, compiler)
        except CompileError as error:
            raise SetupError(f"the kernels were not compiled: {error}.", "Run: pip install ziglang") from error
        except OSError as error:
            problem = error
            continue
        load.cache_clear()
        return path
    raise SetupError(f"the kernels were not written: {problem}.", f"Make {places()[-1]} writable.")


@lru_cache(maxsize=1)
def _processor(library: ctypes.CDLL) -> int:
    """What the processor has, as bits; asked once, since a virtual machine takes 0.2 ms to answer."""
    return int(library.jean_processor())


def targets() -> list[str]:
    """Instruction sets that the library and this processor both have, the fastest first."""
    library = load()
    if library is None:
        return []
    bits = _processor(library)
    return [*(["avx512"] if bits & 2 else []), *(["avx2"] if bits & 1 else []), "portable"]


def target(wanted: str | None = None) -> str:
    """The instruction set to use: ``wanted``, ``$JEAN_KERNELS``, or the fastest there is.

    Raises:
        UsageError: not a name, or not to be had on this processor.
        SetupError: the kernels are not built.
    """
    found = targets()
    if not found:
        raise SetupError("the kernels are not built for these sources.", f"Run: {REMEDY}")
    wanted = wanted or os.environ.get("JEAN_KERNELS") or found[0]
    if wanted not in found:
        raise UsageError(f"kernels for {wanted!r} cannot run here.", f"Choose one of: {', '.join(found)}")
    return wanted


def half_targets() -> list[str]:
    """Instruction sets for ``precision`` bf16 that the library and this processor both have, the fastest first."""
    library = load()
    bits = 0 if library is None else _processor(library)
    return [*(["amx"] if bits & 8 else []), *(["avx512bf16"] if bits & 4 else [])]


def half_target(wanted: str | None = None) -> str:
    """The instruction set for bf16: ``wanted``, ``$JEAN_KERNELS_BF16``, or the fastest there is.

    Raises:
        UsageError: not a name, or this processor has none.
    """
    found = half_targets()
    if not found:
        raise UsageError("there are no bf16 kernels for this processor.", "Give --precision fp32.")
    wanted = wanted or os.environ.get("JEAN_KERNELS_BF16") or found[0]
    if wanted not in found:
        raise UsageError(f"bf16 kernels for {wanted!r} cannot run here.", f"Choose one of: {', '.join(found)}")
    return wanted


def call(name: str, *arguments: Any) -> None:
    """Calls a function that returns 0, or 1 where memory is not enough.

    Args:
        name: of the C function.
        arguments: structures and tensors (their addresses are handed over), None (a null pointer), integers.

    Raises:
        MemoryError: it was not enough.
    """
    library = load()
    assert library is not None  # callers have asked target()
    if getattr(library, name)(*(_as_c(argument) for argument in arguments)) != 0:
        raise MemoryError(f"{name}: not enough memory")


def _as_c(value: Any) -> Any:
    if isinstance(value, ctypes.Structure):
        return ctypes.byref(value)
    if isinstance(value, int):
        return ctypes.c_int64(value)
    return ctypes.c_void_p(value.data_ptr() if value is not None else None)


def status() -> dict[str, Any]:
    """Library, instruction sets, and what would be used; for ``jean kernels status`` and ``doctor``."""
    path = find()
    return {
        "library": str(path) if path else None,
        "expected": library_name(),
        "targets": targets(),
        "used": target() if path else None,
        "bf16": half_targets(),
        "lost": None if path else "speed: rendering and training use the torch reference",
        "remedy": None if path else REMEDY,
    }
