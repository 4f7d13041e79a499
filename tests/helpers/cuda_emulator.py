"""Runs the CUDA kernels on the CPU, lane by lane, from the same source (``cuda_on_cpu``)."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from jean.kernels import build

HERE = Path(__file__).parent / "cuda_on_cpu"


class Emulator:
    """A stand-in for ``jean.kernels.cuda.launch.Launcher``: a GPU with one multiprocessor."""

    multiprocessors = 1

    def __init__(self, library: ctypes.CDLL, half: str, threads: int = 64):
        self.library, self.half, self.threads = library, half, threads
        self.launched: list[tuple[str, str]] = []

    def __call__(
        self, unit: str, name: str, blocks: int | tuple[int, int], *arguments: Any, threads: int = 128
    ) -> None:
        self.launched.append((unit, name))
        # blocks are smaller here, with the same number of threads in total
        columns, own = blocks[0] if isinstance(blocks, tuple) else blocks, min(self.threads, threads)
        count = ctypes.c_uint(max(1, columns * threads // own))
        given = [self._as_c(argument) for argument in arguments]
        getattr(self.library, f"launch_{name.removeprefix('jean_')}")(count, ctypes.c_uint(own), *given)

    @staticmethod
    def _as_c(value: Any) -> Any:
        if value is None or isinstance(value, Tensor):
            return ctypes.c_void_p(None if value is None else value.data_ptr())
        return ctypes.c_int64(value) if isinstance(value, int) else ctypes.byref(value)


LIBRARIES: dict[str, ctypes.CDLL] = {}  # compiled once per test session


@pytest.fixture(scope="session", params=["bf16", pytest.param("fp16", marks=pytest.mark.slow)])
def emulator(request, tmp_path_factory) -> Emulator:
    """GPUs with bf16 (from sm_80 on) and with fp16 (before). $JEAN_CUDA_SANITIZE names a sanitizer of g++."""
    if request.param in LIBRARIES:
        return Emulator(LIBRARIES[request.param], request.param)
    found = build.compilers()
    if not found:
        pytest.skip("no C++ compiler")
    path = tmp_path_factory.mktemp("cuda") / f"{request.param}.so"
    csrc = build.SOURCES
    sanitizer = os.environ.get("JEAN_CUDA_SANITIZE")
    command = [
        *(found["g++"] if sanitizer else next(iter(found.values()))),
        *([f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"] if sanitizer else []),
        *("-O2", "-std=gnu++17", "-fPIC", "-shared", "-w", "-ffp-contract=off"),
        *(f"-I{folder}" for folder in (HERE, csrc, csrc / "cuda")),
        *(["-DJEAN_ON_CPU_FP16"] if request.param == "fp16" else []),
        *(str(HERE / "kernels.cpp"), "-o", str(path)),
    ]
    subprocess.run(command, check=True)
    LIBRARIES[request.param] = ctypes.CDLL(str(path))
    return Emulator(LIBRARIES[request.param], request.param)
