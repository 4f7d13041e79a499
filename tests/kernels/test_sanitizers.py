"""The kernel tests with address and undefined-behaviour sanitizers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jean.kernels import build

TESTS = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", build.SANITIZERS)
def test_sanitizers_find_nothing(sanitizer, tmp_path):
    if "g++" not in build.compilers():
        pytest.skip("sanitizers come with the system's g++, and there is none")
    library = build.compile_library(tmp_path, "g++", sanitizer)
    environment = {**os.environ, "JEAN_KERNELS_LIBRARY": str(library), "OMP_NUM_THREADS": "1"}
    if sanitizer == "address":
        # Python itself is not sanitized: the runtime has to be there before it; its own leaks are not ours
        found = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
        environment |= {"LD_PRELOAD": found.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"}
    names = ("triplane", "mlp", "rays", "render", "torso", "trace", "roughness", "splat")
    files = [str(TESTS / "ops" / f"test_{name}.py") for name in names]
    files += [str(TESTS / "test_threads.py"), str(TESTS.parent / "train" / "nerf" / "test_ema_adam.py")]
    chosen = "not accepts and not double"  # torch's tracer and its numerical gradients: the same calls, very often
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-k", chosen, *files],
        cwd=TESTS.parents[1],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


@pytest.mark.slow
@pytest.mark.parametrize("names", [("picture", "mlp", "check"), ("mlp_backward", "triplane")], ids="-".join)
def test_cuda_kernels_have_no_undefined_behaviour(names):
    """Overflows, indices out of bounds and unaligned addresses, in the CUDA kernels as run on the CPU."""
    if "g++" not in build.compilers():
        pytest.skip("sanitizers come with the system's g++, and there is none")
    files = [str(TESTS / "cuda" / f"test_{name}.py") for name in names]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *files],
        cwd=TESTS.parents[1],
        env={**os.environ, "JEAN_CUDA_SANITIZE": "undefined", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
