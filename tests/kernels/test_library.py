"""The library of CPU kernels: building, finding, choosing an instruction set, and its absence."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path

import pytest
import torch

from jean.errors import SetupError, UsageError
from jean.kernels import backend as backends
from jean.kernels import build, library
from jean_cli.main import main


def test_the_library_of_these_sources_is_built(capsys):
    """Fails if the library is missing or outdated, since the suite would otherwise test the reference only."""
    path = library.find()
    assert path is not None, f"run: {library.REMEDY}"
    assert library.load().jean_source_hash().decode() == build.source_hash()
    with capsys.disabled():
        half = ", ".join(library.bf16_targets()) or "none"
        print(f"\nkernels: {path.name}, exercised here: {', '.join(library.targets())}; for bf16: {half}")


def test_portable_kernels_always_exist_and_x86_has_more():
    assert library.targets()[-1] == "portable"
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if platform.machine() == "x86_64" and " avx2 " in flags and " fma " in flags:
        assert "avx2" in library.targets()
    if platform.machine() == "x86_64" and " avx512dq " in flags and " avx512vl " in flags:
        assert library.targets()[0] == "avx512"


def test_a_target_can_be_forced(monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", "portable")
    assert library.target() == "portable"
    monkeypatch.setenv("JEAN_KERNELS", "sse9")
    with pytest.raises(UsageError, match="sse9"):
        library.target()


@pytest.fixture
def without_library(monkeypatch):
    monkeypatch.setattr(library, "find", lambda: None)
    library.load.cache_clear()
    yield
    library.load.cache_clear()


def test_without_the_library_auto_uses_torch_and_native_is_an_error(without_library):
    assert backends.resolve_backend("auto", torch.device("cpu"), "picture") == "reference"
    assert backends.resolve_backend("reference", torch.device("cpu"), "picture") == "reference"
    with pytest.raises(SetupError, match="jean kernels build"):
        backends.resolve_backend("native", torch.device("cpu"), "picture")
    assert library.targets() == [] and library.status()["remedy"] == "jean kernels build"
    with pytest.raises(SetupError, match="jean kernels build"):
        library.target()


def test_auto_uses_the_library_for_supported_dtypes_only():
    assert backends.resolve_backend("auto", torch.device("cpu"), "picture") == "native"
    assert not backends.use_native("auto", torch.empty(0, dtype=torch.float16), "picture")
    with pytest.raises(SetupError, match="float16"):
        backends.use_native("native", torch.empty(0, dtype=torch.float16), "picture")


def test_a_changed_source_has_another_name(tmp_path):
    shutil.copytree(build.SOURCES, tmp_path / "csrc")
    assert build.library_name(tmp_path / "csrc") == build.library_name()
    with open(tmp_path / "csrc" / "rays.h", "a", encoding="utf-8") as file:
        file.write("\n")
    assert build.library_name(tmp_path / "csrc") != build.library_name()


def test_an_installation_puts_the_library_where_it_is_searched():
    setuptools = pytest.importorskip("setuptools")
    command = build.BuildKernels(setuptools.Distribution())
    command.build_lib = "build/lib"
    assert command._folder() == Path("build/lib") / Path(library.__file__).parent.relative_to(build.SOURCES.parents[2])


def test_a_missing_and_a_failing_compiler_are_errors(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "compilers", dict)
    with pytest.raises(build.CompileError, match="no C"):
        build.compile_library(tmp_path)
    monkeypatch.setattr(build, "compilers", lambda: {"false": ["false"]})
    with pytest.raises(build.CompileError, match="false failed"):
        build.compile_library(tmp_path)
    assert not list(tmp_path.iterdir())


def test_kernels_status_lists_the_instruction_sets(capfd):
    with pytest.raises(SystemExit) as caught:
        main(["kernels", "status", "--json"])
    found = json.loads(capfd.readouterr().out)
    assert not caught.value.code and found["targets"] == library.targets() and found["lost"] is None


def test_build_without_a_compiler_fails_with_a_remedy(monkeypatch, capfd):
    monkeypatch.setattr(build, "compilers", dict)
    with pytest.raises(SystemExit) as caught:
        main(["kernels", "build"])
    assert caught.value.code == 5 and "pip install ziglang" in capfd.readouterr().err


@pytest.mark.slow
def test_the_command_builds_a_library_that_works(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "folders", lambda: [tmp_path])
    library.load.cache_clear()
    path = library.build()
    assert path.parent == tmp_path and library.find() == path
    assert library.load().jean_source_hash().decode() == build.source_hash()
    library.load.cache_clear()


def test_doctor_reports_a_missing_library(without_library, monkeypatch, capfd):
    from jean import environment

    gpu = {"available": False, "devices": [], "cuda": None, "reason": "no NVIDIA driver", "remedy": None}
    monkeypatch.setattr(environment, "gpu", lambda: gpu)
    with pytest.raises(SystemExit):
        main(["doctor"])
    text = capfd.readouterr().out
    assert "kernels: MISSING. Lost: speed" in text and "run: jean kernels build" in text
