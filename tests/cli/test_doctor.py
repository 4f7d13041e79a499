"""``jean doctor`` and the facts behind it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jean import environment
from jean.errors import SetupError
from jean_cli import doctor
from jean_cli.main import main


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = {"available": False, "devices": [], "cuda": None, "reason": "no NVIDIA driver", "remedy": None}
    monkeypatch.setattr(environment, "gpu", lambda: gpu)


def shown(capfd: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["doctor"])
    assert not caught.value.code
    return capfd.readouterr().out


def test_a_whole_machine(no_torch: None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_loads", lambda name: True)
    text = shown(capfd)
    assert "pip install" not in text
    assert "libx264 found" in text
    assert "GPU: none (no NVIDIA driver)" in text
    assert "face_landmarker.task: MISSING. Lost: prepare --tracker mediapipe" in text
    assert "run: jean models pull face_landmarker.task" in text


def test_what_is_missing_is_named_with_its_command(
    no_torch: None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = environment.util.find_spec
    monkeypatch.setattr(environment.util, "find_spec", lambda name: None if name in ("mediapipe", "av") else real(name))
    monkeypatch.setattr(environment, "_loads", lambda name: name != "libEGL.so.1")
    (tmp_path / "models").write_text("")
    monkeypatch.setenv("JEAN_MODELS", str(tmp_path / "models" / "inner"))
    text = shown(capfd)
    assert "mediapipe: MISSING. Lost: prepare --tracker mediapipe" in text
    assert "run: pip install mediapipe" in text
    assert "run: pip install av" in text
    assert "video encoders" not in text
    assert "libEGL.so.1: MISSING. Lost: mediapipe" in text
    assert "apt-get install -y libegl1" in text


def test_setup_runs_on_a_bare_python() -> None:
    """``make`` asks for missing Debian packages before anything is installed."""
    code = "from jean.environment import debian_packages; print(*debian_packages())"
    root = Path(__file__).resolve().parents[2]
    # -S -E: no site-packages, like a Python that pip never wrote to
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_missing_debian_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_loads", lambda name: not name.startswith("libEGL"))
    real = environment.util.find_spec
    monkeypatch.setattr(environment.util, "find_spec", lambda name: None if name == "ensurepip" else real(name))
    assert environment.debian_packages() == ["libegl1", f"python3.{sys.version_info[1]}-venv"]


@pytest.mark.parametrize(
    ("wanted", "there", "got"),
    [("cpu", True, "cpu"), ("auto", True, "cuda"), ("auto", False, "cpu"), ("cuda:1", True, "cuda:1")],
)
def test_pick_device(wanted: str, there: bool, got: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert environment.pick_device(wanted) == got
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SetupError, match="no CUDA device"):
        environment.pick_device("cuda")


def test_a_gpu_is_described() -> None:
    device = {"name": "H200", "memory_bytes": 150e9, "capability": "9.0"}
    facts: dict[str, Any] = {
        "jean": "1",
        "python": "3",
        "platform": "Linux",
        "cpu": {"model": None, "threads": 2, "memory_bytes": None, "features": []},
        "gpu": {"available": True, "devices": [device]},
        "kernels": {"library": "x.so", "used": "portable", "cuda": {"nvrtc": None, "remedy": "pip install x"}},
        **{name: [] for name in ("packages", "libraries", "weights", "folders")},
        "encoders": {},
    }
    lines = list(doctor._lines(facts))
    assert "GPU: H200, 150 GB, compute capability 9.0" in lines
    assert "NVRTC was not found" in "".join(lines) and "    run: pip install x" in lines
    facts["kernels"]["cuda"]["nvrtc"] = "13.0"
    assert "  for GPUs: compiled by NVRTC 13.0 at first use" in list(doctor._lines(facts))


def test_every_dependency_is_examined() -> None:
    """What pyproject.toml requires is what doctor looks for, save what jean itself cannot start without."""
    text = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text("utf-8")
    block = text[text.index("dependencies = [") : text.index("]\n", text.index("dependencies = ["))]
    required = {line.strip().strip('",').split(">=")[0] for line in block.splitlines()[1:]}
    assert required == set(environment.PACKAGES) | {"typer"}


def test_every_module_name_is_right() -> None:
    import importlib.util

    for name, (module, _) in environment.PACKAGES.items():
        assert importlib.util.find_spec(module), name


def test_facts_are_plain_values() -> None:
    facts = {name: getattr(environment, name)() for name in ("packages", "libraries", "cpu", "folders", "encoders")}
    assert json.loads(json.dumps(facts)) == facts
    assert facts["cpu"]["threads"] >= 1
    assert all(item["version"] not in (None, "unknown") for item in facts["packages"])


@pytest.mark.slow
def test_the_gpu_of_this_machine() -> None:
    facts = environment.gpu()
    assert facts["available"] == bool(facts["devices"])
    assert facts["available"] or facts["reason"]
