"""``examples/benchmarks/gpu.py``: its error without a GPU, and its measurements on the CPU."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from jean.files import read_json
from tests.helpers.tiny_clip import make_clip

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "gpu.py"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_it_exits_with_code_5_without_a_gpu(tmp_path):
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 5 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "no GPU" in done.stderr


@pytest.fixture
def gpu(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("gpu_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_part_that_fails_does_not_lose_the_others(gpu, tmp_path, capsys):
    report = gpu.Report(tmp_path / "gpu.json", 60)
    report.part("first", lambda: {"value": 1}, target=2)
    report.part("second", lambda: 1 / 0)
    stored = read_json(tmp_path / "gpu.json")  # before the last part
    report.part("third", lambda: {"value": 3})
    assert stored["first"] == {"value": 1, "target": 2} and stored["second"]["value"] is None
    assert "ZeroDivisionError" in stored["second"]["reason"] and report.failed == ["second"]
    assert report.result["third"] == {"value": 3} and read_json(tmp_path / "gpu.json") == report.result
    assert "second: ZeroDivisionError" in capsys.readouterr().err


def test_parts_after_the_time_limit_are_left_out(gpu, tmp_path):
    report = gpu.Report(tmp_path / "gpu.json", -1)
    assert "limit" in report.part("late", lambda: pytest.fail("it ran"))["reason"] and not report.failed


def test_every_kernel_is_a_part_of_its_own(gpu, tmp_path, monkeypatch):
    kernels = sys.modules["gpu_kernels"]
    monkeypatch.setattr(kernels.cuda_launch, "architecture", lambda device: "sm_90")
    monkeypatch.setattr(kernels.cuda_build, "build_unit", lambda unit, architecture: 1 / 0)
    checks = {"right": (lambda device: 1e-5, 1e-3), "wrong": (lambda device: float("nan"), 1e-3)}
    monkeypatch.setattr(kernels.cuda_check, "CHECKS", checks)
    report = gpu.Report(tmp_path / "gpu.json", 60)
    kernels.kernels(report, torch.device("cpu"))
    assert report.result["check_right"] == {"error": 1e-5, "limit": 1e-3}
    assert "nan against torch" in report.result["check_wrong"]["reason"]
    assert {"build_splat", "build_rays", "check_wrong"} <= set(report.failed)


@pytest.mark.slow
def test_all_measurements_run_on_the_cpu(gpu, tmp_path):
    clip = make_clip(tmp_path / "clip", frames=8, size=16)
    report = gpu.Report(tmp_path / "gpu.json", 1000)
    gpu.measure(report, clip, torch.device("cpu"), 2, 3, 1, (8, 12), "fp32", 1)
    result = report.result
    assert not report.failed
    assert result["G1"]["size_px"] == 8 and result["G3"]["size_px"] == 12
    assert all(result[name]["fps"] > 0 and result[name]["fps_torch"] > 0 for name in ("G1", "G2", "G3", "G6"))
    assert result["G3"]["psnr_db"] > 40 and result["G6"]["psnr_db"] > 40 and result["G4"]["minutes_extrapolated"] > 0
    assert result["G4"]["launched"] == "one by one"  # the CPU records no graphs
    assert all(result[f"steps_{preset}"]["ms_per_step_one_by_one"] > 0 for preset in ("paper", "fast"))
    assert result["G5"]["seconds"] is None or result["G5"]["seconds"] > 0
