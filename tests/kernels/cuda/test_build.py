"""The CUDA kernels compile for every GPU architecture; no GPU is needed."""

from __future__ import annotations

import json
import shutil

import pytest

from jean.errors import SetupError, UsageError
from jean.kernels.cuda import build as cuda_build
from jean.kernels.cuda import nvrtc
from jean_cli.main import main

pytestmark = pytest.mark.skipif(nvrtc.load() is None, reason="this torch came without NVRTC")
CUBIN = b"\x7fELF"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "jean" / "kernels"


@pytest.mark.slow
@pytest.mark.parametrize("architecture", cuda_build.ARCHITECTURES)
def test_every_kernel_compiles_for_every_architecture(architecture):
    for unit in cuda_build.build([architecture]):
        assert unit.fresh and unit.path.read_bytes().startswith(CUBIN) and unit.kernels
        for kernel in unit.kernels:
            assert 0 < kernel.registers <= 255 and kernel.spill_stores == kernel.spill_loads == 0, kernel


def test_a_cubin_is_cached_and_listed(cache, capfd):
    first = cuda_build.build_unit("picture", "sm_90")
    again = cuda_build.build_unit("picture", "sm_90")
    assert first.fresh and not again.fresh and again.kernels == first.kernels and again.path.parent == cache
    assert {kernel.name for kernel in first.kernels} == {"jean_march", "jean_picture"}
    assert sorted(p.suffix for p in cache.iterdir()) == [".cubin", ".log"]
    with pytest.raises(SystemExit):
        main(["kernels", "status", "--json"])
    told = json.loads(capfd.readouterr().out)["cuda"]
    assert told["built"] == {"sm_90": ["picture"]} and told["nvrtc"] == nvrtc.load().version


def test_a_changed_header_is_another_cubin(tmp_path, monkeypatch):
    before = cuda_build.cubin_path("picture", "sm_90", "13.0")
    shutil.copytree(cuda_build.SOURCES, tmp_path / "csrc")
    monkeypatch.setattr(cuda_build, "SOURCES", tmp_path / "csrc")
    monkeypatch.setattr(cuda_build, "CUDA_SOURCES", tmp_path / "csrc" / "cuda")
    assert cuda_build.cubin_path("picture", "sm_90", "13.0") == before
    with open(tmp_path / "csrc" / "mathematics.h", "a", encoding="utf-8") as file:
        file.write("\n")
    assert cuda_build.cubin_path("picture", "sm_90", "13.0") != before
    assert cuda_build.cubin_path("picture", "sm_90", "13.1") != cuda_build.cubin_path("picture", "sm_90", "13.0")


def test_a_rejected_source_leaves_no_file_and_the_error_quotes_it(tmp_path, monkeypatch, cache):
    (tmp_path / "csrc" / "cuda").mkdir(parents=True)
    (tmp_path / "csrc" / "cuda" / "wrong.cu").write_text("__global__ void f() { return 1 + nothing; }\n")
    monkeypatch.setattr(cuda_build, "SOURCES", tmp_path / "csrc")
    monkeypatch.setattr(cuda_build, "CUDA_SOURCES", tmp_path / "csrc" / "cuda")
    with pytest.raises(SetupError, match=r"wrong.cu\(1\).*nothing"):
        cuda_build.build_unit("wrong", "sm_90")
    assert not cache.exists()


def test_architectures_are_checked_before_anything_is_compiled(cache, capfd):
    for wanted, error, code in (("sm_90,sm_52", SetupError, 5), ("sm_90,ninety", UsageError, 2)):
        with pytest.raises(error):
            cuda_build.build(wanted.split(","))
        with pytest.raises(SystemExit) as caught:
            main(["kernels", "build", "--arch", wanted])
        lines = capfd.readouterr().err.strip().splitlines()
        assert caught.value.code == code and len(lines) == 1 and wanted.split(",")[1] in lines[0]
        assert not cache.exists()


def test_without_nvrtc_the_error_names_the_package(monkeypatch, capfd):
    monkeypatch.setattr(nvrtc, "load", lambda: None)
    with pytest.raises(SystemExit) as caught:
        main(["kernels", "build", "--arch", "sm_90"])
    assert caught.value.code == 5 and "pip install nvidia-cuda-nvrtc" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        main(["kernels", "status"])
    assert "CUDA compiler: none" in capfd.readouterr().out


def test_a_read_only_cache_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(SetupError, match="writable"):
        cuda_build.build_unit("picture", "sm_90")


def test_registers_and_spills_are_read_from_the_log():
    log = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'one' for 'sm_90'
ptxas info    : Function properties for one
ptxas         .     16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 16 bytes cumulative stack size, 14256 bytes smem
ptxas info    : Compiling entry function 'two' for 'sm_90'
ptxas info    : Used 14 registers, used 0 barriers
"""
    assert cuda_build.resources(log) == (
        cuda_build.Kernel("one", 255, 16, 8, 12, 14256),
        cuda_build.Kernel("two", 14, 0, 0, 0, 0),
    )
