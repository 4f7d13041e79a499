"""``examples/benchmarks/gpu.py``: its error without a GPU, and its measurements on the CPU."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.helpers.tiny_clip import make_clip

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "gpu.py"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_it_exits_with_code_5_without_a_gpu(tmp_path):
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 5 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "no GPU" in done.stderr


@pytest.mark.slow
def test_all_measurements_run_on_the_cpu(tmp_path):
    spec = importlib.util.spec_from_file_location("gpu_benchmark", SCRIPT)
    gpu = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gpu)
    clip = make_clip(tmp_path / "clip", frames=8, size=16)
    result = gpu.measure(clip, torch.device("cpu"), 2, 3, 1, (8, 12), "fp32", 1)
    assert result["G1"]["size_px"] == 8 and result["G3"]["size_px"] == 12
    assert all(result[name]["fps"] > 0 and result[name]["fps_torch"] > 0 for name in ("G1", "G2", "G3"))
    assert result["G3"]["psnr_db"] > 40 and result["G4"]["minutes_extrapolated"] > 0
    assert result["G4"]["launched"] == "one by one"  # the CPU records no graphs
    assert all(result["steps"][preset]["ms_per_step_one_by_one"] > 0 for preset in ("paper", "fast"))
    assert result["G5"]["seconds"] is None or result["G5"]["seconds"] > 0
