"""Parts of ``gpu.py`` that need no clip: the environment, the kernels one by one, Gaussians, and compute-sanitizer."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gpu_report import Report
from splat_speed import CASES, head_of_gaussians, picture, step

from jean.kernels.cuda import build as cuda_build
from jean.kernels.cuda import check as cuda_check
from jean.kernels.cuda import launch as cuda_launch
from jean.kernels.cuda import nvrtc
from jean.kernels.ops.splat import splat

SANITIZER_S = 60
SANITIZED = ("composite", "march", "splat")  # small problems: the sanitizer takes up to a hundred times as long


def environment(device: torch.device) -> dict[str, Any]:
    """The GPU, torch and NVRTC."""
    compiler = nvrtc.load()
    properties = torch.cuda.get_device_properties(device)
    return {
        "gpu": properties.name,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "multiprocessors": properties.multi_processor_count,
        "architecture": cuda_launch.architecture(device),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "nvrtc": compiler.version if compiler else None,
    }


def kernels(report: Report, device: torch.device) -> None:
    """Builds every unit for this GPU, then compares every operation with torch there; each is a part of its own."""
    architecture = cuda_launch.architecture(device)
    for unit in cuda_build.units():
        report.part(f"build_{unit}", lambda unit=unit: cuda_build.build_unit(unit, architecture).as_dict())
    for name, (check, limit) in cuda_check.CHECKS.items():
        report.part(f"check_{name}", lambda check=check, limit=limit: checked(check, limit, device))


def checked(check: Callable[[torch.device], float], limit: float, device: torch.device) -> dict[str, Any]:
    """The error of a check.

    Raises:
        ArithmeticError: it is larger than the check allows, or not a number.
    """
    error = check(device)
    if not error < limit:
        raise ArithmeticError(f"error {error:.2e} against torch, {limit:.0e} is allowed")
    return {"error": error, "limit": limit}


def gaussians(device: torch.device, rounds: int) -> dict[str, Any]:
    """Milliseconds of pictures and of training steps, launched one by one and as CUDA graphs."""
    result: dict[str, Any] = {}
    for name, (count, size) in CASES.items():
        case = [tensor.to(device) for tensor in head_of_gaussians(count, size)]
        window = (0, 0, size, size)
        works: dict[str, Callable[[], object]] = {
            "picture": lambda case=case, window=window: picture(splat, case, window),
            "step": lambda case=case, window=window: step(splat, case, window),
        }
        result[name] = {"gaussians": count}
        for kind, work in works.items():
            result[name][f"{kind}_ms"] = median_ms(work, rounds)
            result[name][f"{kind}_graph_ms"] = median_ms(recorded(work), rounds)
    return result


def recorded(work: Callable[[], object]) -> Callable[[], object]:
    """The same work as one CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # allocations of the first calls stay outside of the graph
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def median_ms(work: Callable[[], object], rounds: int) -> float:
    """Median of the milliseconds between two events on the GPU, after a warm-up."""
    work()
    taken = []
    for _ in range(rounds):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        end.synchronize()
        taken.append(begin.elapsed_time(end))
    return round(statistics.median(taken), 3)


def sanitizer() -> dict[str, Any]:
    """Runs small checks under compute-sanitizer, where it is installed.

    Raises:
        RuntimeError: it found an error.
    """
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not Path(tool).is_file():
        return {"value": None, "reason": "compute-sanitizer is not installed"}
    code = (
        "import torch; from jean.kernels.cuda.check import CHECKS; device = torch.device('cuda', 0); "
        f"[CHECKS[name][0](device) for name in {SANITIZED!r}]"
    )
    command = [tool, "--tool", "memcheck", "--error-exitcode", "9", sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SANITIZER_S)
    except subprocess.TimeoutExpired:
        return {"value": None, "reason": f"not finished in {SANITIZER_S} s"}
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr)[-1500:])
    return {"operations": list(SANITIZED), "errors": 0}
