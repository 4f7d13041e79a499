"""The bf16 tests with emulated AMX instructions, since most processors cannot run that path.

What an emulation cannot show: that the system gives leave, and the speed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jean.kernels import build
from jean.kernels import library as native

TESTS = Path(__file__).parent


@pytest.mark.slow
def test_the_amx_path_is_correct_with_emulated_instructions(tmp_path):
    if "g++" not in build.compilers() or "avx512bf16" not in native.bf16_targets():
        pytest.skip("needs g++ and a processor that rounds to bf16 by itself")
    library = tmp_path / "kernels.so"
    files = [str(path) for path in sorted(build.SOURCES.glob("*.cpp"))]
    emulation = f'-DJEAN_EMULATED_TILES="{TESTS / "emulated_tiles.h"}"'
    subprocess.run(["g++", *build.FLAGS, emulation, *files, "-o", str(library)], check=True, timeout=200)
    environment = {**os.environ, "JEAN_KERNELS_LIBRARY": str(library), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-rs",
            "-k",
            "amx",
            str(TESTS / "ops" / "test_mlp_render.py"),
        ],
        cwd=TESTS.parents[1],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0 and "skipped" not in done.stdout, (done.stdout + done.stderr)[-4000:]
    assert "7 passed" in done.stdout, done.stdout[-1000:]
