"""Compiles the CUDA kernels of ``csrc/cuda`` with NVRTC for one GPU architecture, and caches them on disk.

The name of a cubin contains a hash of its sources and options, the architecture and the version of NVRTC, so an
outdated one is never loaded. Torch is not needed here.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jean.errors import SetupError
from jean.kernels.build import SOURCES, cache_folder
from jean.kernels.cuda import nvrtc

CUDA_SOURCES = SOURCES / "cuda"
# NVRTC has no standard headers; nvcc would provide these types
HEADERS = {
    "stdint.h": "typedef unsigned char uint8_t; typedef unsigned short uint16_t; typedef int int32_t; "
    "typedef unsigned uint32_t; typedef long long int64_t; typedef unsigned long long "
    "uint64_t; typedef unsigned long long uintptr_t;\n"
}
# -v: the log, which is cached too, lists registers and spills
OPTIONS = ("--std=c++17", "--ptxas-options=-v")
# the architectures of torch's wheels, for ``jean kernels build --arch all`` and CI
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")


@dataclass(frozen=True)
class Kernel:
    """Resources of one kernel.

    Attributes:
        name: of the function.
        registers: per thread.
        stack, spill_stores, spill_loads: bytes per thread.
        shared: bytes of static shared memory per block.
    """

    name: str
    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    shared: int


@dataclass(frozen=True)
class Unit:
    """One source compiled for one architecture; ``fresh``: compiled just now, not found in the cache."""

    name: str
    architecture: str
    path: Path
    kernels: tuple[Kernel, ...]
    fresh: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"path": str(self.path)}


def units() -> list[str]:
    """Names of the sources; each is compiled into one cubin."""
    return sorted(path.stem for path in CUDA_SOURCES.glob("*.cu"))


def headers() -> dict[str, str]:
    """Texts of all headers that a source may include, by name."""
    paths = {path.name: path for path in (*SOURCES.glob("*.h"), *CUDA_SOURCES.glob("*.h"))}
    return HEADERS | {name: path.read_text(encoding="utf-8") for name, path in sorted(paths.items())}


def cubin_path(unit: str, architecture: str, version: str) -> Path:
    """Path in the cache of the cubin of a unit, whether it exists or not."""
    digest = hashlib.sha256(" ".join(OPTIONS).encode())
    for name, text in {**headers(), f"{unit}.cu": (CUDA_SOURCES / f"{unit}.cu").read_text(encoding="utf-8")}.items():
        digest.update(name.encode() + b"\0" + text.encode())
    return cache_folder() / f"{unit}-{digest.hexdigest()[:12]}-{architecture}-nvrtc{version}.cubin"


def build_unit(unit: str, architecture: str) -> Unit:
    """Returns the cubin of a unit, and compiles it into the cache if it is not there.

    Args:
        unit: a name of ``units()``.
        architecture: such as "sm_90".

    Raises:
        UsageError: not the name of an architecture.
        SetupError: no NVRTC, it does not know the architecture, it rejects the source, or the cache is read-only.
    """
    compiler = nvrtc.require()
    compiler.require([architecture])
    path = cubin_path(unit, architecture, compiler.version)
    log = path.with_suffix(".log")
    if path.is_file() and log.is_file():
        return Unit(unit, architecture, path, resources(log.read_text(encoding="utf-8")), False)
    source = (CUDA_SOURCES / f"{unit}.cu").read_text(encoding="utf-8")
    try:
        cubin, text = compiler.compile(source, f"{unit}.cu", headers(), architecture, OPTIONS)
    except nvrtc.NvrtcError as error:
        raise SetupError(f"NVRTC {compiler.version} rejects {unit}.cu for {architecture}: {error}") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(log, text.encode())
        _write(path, cubin)  # last, so that a cubin always has its log
    except OSError as error:
        raise SetupError(f"the CUDA kernels were not written: {error}.", f"Make {path.parent} writable.") from error
    return Unit(unit, architecture, path, resources(text), True)


def build(architectures: Sequence[str]) -> list[Unit]:
    """Builds all units for all architectures. All names are checked before anything is compiled."""
    nvrtc.require().require(architectures)
    return [build_unit(unit, architecture) for architecture in architectures for unit in units()]


def resources(log: str) -> tuple[Kernel, ...]:
    """Parses registers, stack and spills of each kernel from the assembler's log."""
    kernels = []
    for part in log.split("Compiling entry function '")[1:]:
        numbers = {
            name: int(match.group(1)) if (match := re.search(pattern, part)) else 0
            for name, pattern in (
                ("registers", r"Used (\d+) registers"),
                ("stack", r"(\d+) bytes stack frame"),
                ("spill_stores", r"(\d+) bytes spill stores"),
                ("spill_loads", r"(\d+) bytes spill loads"),
                ("shared", r"(\d+) bytes smem"),
            )
        }
        kernels.append(Kernel(part.split("'", 1)[0], **numbers))
    return tuple(kernels)


def status() -> dict[str, Any]:
    """NVRTC and the cached cubins of the present sources, for ``jean kernels status`` and ``jean doctor``."""
    compiler = nvrtc.load()
    if compiler is None:
        return {"nvrtc": None, "path": None, "architectures": [], "units": units(), "built": {}, "remedy": nvrtc.REMEDY}
    built = {
        architecture: cached
        for architecture in compiler.architectures
        if (cached := [unit for unit in units() if cubin_path(unit, architecture, compiler.version).is_file()])
    }
    return {
        "nvrtc": compiler.version,
        "path": compiler.path,
        "architectures": list(compiler.architectures),
        "units": units(),
        "built": built,
        "remedy": None,
    }


def _write(path: Path, content: bytes) -> None:
    """Writes a file atomically, also if two processes write it at the same time."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
