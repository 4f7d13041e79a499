"""The CUDA kernels of ``csrc/cuda``: compiled by NVRTC for one card's architecture, kept on disk.

A file's name holds a hash of everything that it was made of, the architecture and NVRTC's version, so one
that is older than its sources is never found. Torch is not needed here.
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
# what nvcc's own headers would say; NVRTC has none
HEADERS = {
    "stdint.h": "typedef int int32_t; typedef unsigned uint32_t; typedef long long int64_t; typedef unsigned long long "
    "uint64_t; typedef unsigned long long uintptr_t;\n"
}
# -v: registers and spills stand in the log, which is kept
OPTIONS = ("--std=c++17", "--ptxas-options=-v")
# every generation that torch's own wheels serve, for ``jean kernels build`` and CI
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")


@dataclass(frozen=True)
class Kernel:
    """What one kernel takes of the card.

    Attributes:
        name: of the function.
        registers: of a thread; stack, spill_stores, spill_loads: bytes of a thread.
        shared: bytes of a block, without what a launch adds.
    """

    name: str
    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    shared: int


@dataclass(frozen=True)
class Unit:
    """One source compiled for one architecture; ``fresh``: just now, not found on disk."""

    name: str
    architecture: str
    path: Path
    kernels: tuple[Kernel, ...]
    fresh: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"path": str(self.path)}


def units() -> list[str]:
    """Names of the sources, each of which becomes one cubin."""
    return sorted(path.stem for path in CUDA_SOURCES.glob("*.cu"))


def headers() -> dict[str, str]:
    """Text of every header that a source may include, by name."""
    found = {path.name: path for path in (*SOURCES.glob("*.h"), *CUDA_SOURCES.glob("*.h"))}
    return HEADERS | {name: path.read_text(encoding="utf-8") for name, path in sorted(found.items())}


def cubin_path(unit: str, architecture: str, version: str) -> Path:
    """Where the cubin of a unit lies or will lie."""
    digest = hashlib.sha256(" ".join(OPTIONS).encode())
    for name, text in {**headers(), f"{unit}.cu": (CUDA_SOURCES / f"{unit}.cu").read_text(encoding="utf-8")}.items():
        digest.update(name.encode() + b"\0" + text.encode())
    return cache_folder() / f"{unit}-{digest.hexdigest()[:12]}-{architecture}-nvrtc{version}.cubin"


def build_unit(unit: str, architecture: str) -> Unit:
    """The cubin of a unit, from the cache or compiled into it.

    Raises:
        UsageError: no name of an architecture.
        SetupError: no NVRTC, it does not know the architecture or refuses the source, or the cache cannot be written.
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
        raise SetupError(f"NVRTC {compiler.version} refuses {unit}.cu for {architecture}: {error}") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(log, text.encode())
        _write(path, cubin)  # last: where it is, its log is
    except OSError as error:
        raise SetupError(f"the CUDA kernels were not written: {error}.", f"Make {path.parent} writable.") from error
    return Unit(unit, architecture, path, resources(text), True)


def build(architectures: Sequence[str]) -> list[Unit]:
    """Every unit for every architecture; all names are checked before anything is compiled."""
    nvrtc.require().require(architectures)
    return [build_unit(unit, architecture) for architecture in architectures for unit in units()]


def resources(log: str) -> tuple[Kernel, ...]:
    """Registers, stack and spills of each kernel, from the assembler's log."""
    found = []
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
        found.append(Kernel(part.split("'", 1)[0], **numbers))
    return tuple(found)


def status() -> dict[str, Any]:
    """NVRTC and the cubins of these sources in the cache; for ``jean kernels status`` and ``doctor``."""
    compiler = nvrtc.load()
    if compiler is None:
        return {"nvrtc": None, "path": None, "architectures": [], "units": units(), "built": {}, "remedy": nvrtc.REMEDY}
    built = {
        architecture: there
        for architecture in compiler.architectures
        if (there := [unit for unit in units() if cubin_path(unit, architecture, compiler.version).is_file()])
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
    """Whole or not at all, also where two processes write the same file."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
