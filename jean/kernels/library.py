"""The library of compiled CPU kernels: finding, loading, choice of the instruction set, and calls by ctypes.

The library is searched beside this file, where pip installs it, then in the user's cache, where ``jean kernels build``
writes it if the package's folder is read-only. Environment variables, for tests and experiments:

- ``JEAN_KERNELS``: instruction set, one of ``TARGETS``; default: the fastest of this processor.
- ``JEAN_KERNELS_BF16``: instruction set for bf16, one of ``BF16_TARGETS``; default: the fastest of this processor.
- ``JEAN_KERNELS_LIBRARY``: path of the library, for one that was compiled otherwise, such as with a sanitizer.

Whether kernels are used at all is not chosen here but with ``--backend`` (``jean.kernels.backend``).
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
BF16_TARGETS = {"amx": 5, "avx512bf16": 4}  # factors in bf16, sums in fp32; without gradients


def folders() -> list[Path]:
    """Folders in which the library is searched, in this order."""
    return [Path(__file__).parent, cache_folder()]


def find() -> Path | None:
    """Path of the library compiled from the present sources, or ``$JEAN_KERNELS_LIBRARY``; None if it is not built."""
    override = os.environ.get("JEAN_KERNELS_LIBRARY")
    if override:
        return Path(override)
    name = library_name()
    return next((folder / name for folder in folders() if (folder / name).is_file()), None)


@lru_cache(maxsize=1)
def load() -> ctypes.CDLL | None:
    """The loaded library; None if it is not built for the present sources."""
    path = find()
    if path is None:
        return None
    library = ctypes.CDLL(str(path))
    library.jean_source_hash.restype = ctypes.c_char_p
    library.jean_field_saved.restype = ctypes.c_int64
    return library


def build(compiler: str | None = None) -> Path:
    """Compiles the kernels into the package's folder, or into the user's cache if that is read-only.

    Args:
        compiler: a name in ``jean.kernels.build.compilers()``; None: the first.

    Returns:
        Path of the library.

    Raises:
        SetupError: no compiler, it failed, or neither folder can be written.
    """
    problem: Exception | None = None
    for folder in folders():
        try:
            path = compile_library(folder, compiler)
        except CompileError as error:
            raise SetupError(f"the kernels were not compiled: {error}.", "Run: pip install ziglang") from error
        except OSError as error:
            problem = error
            continue
        load.cache_clear()
        return path
    raise SetupError(f"the kernels were not written: {problem}.", f"Make {folders()[-1]} writable.")


@lru_cache(maxsize=1)
def _cpu_features(library: ctypes.CDLL) -> int:
    """Bits of the instruction sets of this processor; cached, since a virtual machine takes 0.2 ms to answer."""
    return int(library.jean_cpu_features())


def targets() -> list[str]:
    """Instruction sets of both the library and this processor, the fastest first."""
    library = load()
    if library is None:
        return []
    bits = _cpu_features(library)
    return [*(["avx512"] if bits & 2 else []), *(["avx2"] if bits & 1 else []), "portable"]


def target(name: str | None = None) -> str:
    """The instruction set to use: ``name``, ``$JEAN_KERNELS``, or the fastest.

    Raises:
        UsageError: an unknown name, or one that this processor does not have.
        SetupError: the kernels are not built.
    """
    available = targets()
    if not available:
        raise SetupError("the kernels are not built for these sources.", f"Run: {REMEDY}")
    name = name or os.environ.get("JEAN_KERNELS") or available[0]
    if name not in available:
        raise UsageError(f"kernels for {name!r} cannot run here.", f"Choose one of: {', '.join(available)}")
    return name


def bf16_targets() -> list[str]:
    """Instruction sets for bf16 of both the library and this processor, the fastest first."""
    library = load()
    bits = 0 if library is None else _cpu_features(library)
    return [*(["amx"] if bits & 8 else []), *(["avx512bf16"] if bits & 4 else [])]


def bf16_target(name: str | None = None) -> str:
    """The instruction set for bf16: ``name``, ``$JEAN_KERNELS_BF16``, or the fastest.

    Raises:
        UsageError: an unknown name, or one that this processor does not have.
    """
    available = bf16_targets()
    if not available:
        raise UsageError("there are no bf16 kernels for this processor.", "Give --precision fp32.")
    name = name or os.environ.get("JEAN_KERNELS_BF16") or available[0]
    if name not in available:
        raise UsageError(f"bf16 kernels for {name!r} cannot run here.", f"Choose one of: {', '.join(available)}")
    return name


def call(name: str, *arguments: Any) -> None:
    """Calls a function of the library, which returns 0, or 1 if memory could not be allocated.

    Args:
        name: of the C function.
        arguments: structures and tensors (passed by address), None (a null pointer), integers (64 bits).

    Raises:
        MemoryError: it returned 1.
    """
    library = load()
    assert library is not None  # callers have called target(), which raises without a library
    if getattr(library, name)(*(_as_c(argument) for argument in arguments)) != 0:
        raise MemoryError(f"{name}: not enough memory")


def _as_c(value: Any) -> Any:
    if isinstance(value, ctypes.Structure):
        return ctypes.byref(value)
    if isinstance(value, int):
        return ctypes.c_int64(value)
    return ctypes.c_void_p(value.data_ptr() if value is not None else None)


def status() -> dict[str, Any]:
    """The library and its instruction sets, for ``jean kernels status`` and ``jean doctor``."""
    path = find()
    return {
        "library": str(path) if path else None,
        "expected": library_name(),
        "targets": targets(),
        "used": target() if path else None,
        "bf16": bf16_targets(),
        "lost": None if path else "speed: rendering and training use the torch reference",
        "remedy": None if path else REMEDY,
    }
