"""Launches, with a driver that records its calls."""

from __future__ import annotations

import ctypes
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from jean.errors import SetupError
from jean.kernels import structures
from jean.kernels.cuda import driver as cuda_driver
from jean.kernels.cuda import launch as cuda_launch
from jean.kernels.cuda.driver import Driver


class Notes:
    """A stand-in for the driver that records calls and launches."""

    def __init__(self, context: int = 0, failing: str = ""):
        self.context, self.failing, self.calls, self.launched = context, failing, [], []

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append(name)
            if name == self.failing:
                return 700
            if name == "cuCtxGetCurrent":
                arguments[0]._obj.value = self.context
            if name == "cuModuleGetFunction":
                arguments[0]._obj.value = 0xF00D
            if name == "cuGetErrorString":
                arguments[1]._obj.value = b"an illegal memory access was encountered"
            if name == "cuLaunchKernel":
                # the driver copies the values while it is called
                count = len(arguments[9])
                self.launched.append((arguments, [ctypes.string_at(arguments[9][i], 8) for i in range(count)]))
            return 0

        return call


def test_a_thread_without_context_gets_that_of_torch():
    without, within = Notes(), Notes(context=5)
    Driver(without).enter(1)
    Driver(within).enter(1)
    assert without.calls == ["cuCtxGetCurrent", "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent"]
    assert within.calls == ["cuCtxGetCurrent"]


def test_arguments_are_passed_by_address():
    notes = Notes()
    values = [ctypes.c_void_p(0x1234), ctypes.c_int64(-7), structures.Picture(1, 2, 3, 0.5)]
    Driver(notes).launch(ctypes.c_void_p(9), 3, 128, 77, values, shared=64)
    (function, *size, stream, _, extra), (address, number, picture) = notes.launched[0]
    assert function.value == 9 and [n.value for n in size] == [3, 1, 1, 128, 1, 1, 64]
    assert stream.value == 77 and extra is None
    assert int.from_bytes(address, "little") == 0x1234
    assert int.from_bytes(number, "little", signed=True) == -7
    assert picture == bytes(values[2])[:8]


def test_zero_blocks_launch_nothing():
    notes = Notes()
    Driver(notes).launch(ctypes.c_void_p(9), 0, 128, 0, [])
    assert notes.calls == []


def test_much_shared_memory_is_requested():
    notes = Notes()
    assert Driver(notes).function(b"cubin", "kernel", shared=100_000).value == 0xF00D
    assert notes.calls == ["cuModuleLoadData", "cuModuleGetFunction", "cuFuncSetAttribute"]


def test_the_drivers_error_text_is_raised():
    with pytest.raises(RuntimeError, match=r"cuLaunchKernel: an illegal memory access.*\(700\)"):
        Driver(Notes(failing="cuLaunchKernel")).launch(ctypes.c_void_p(9), 1, 32, 0, [])


def test_without_a_driver_the_error_names_doctor(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    cuda_driver.driver.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(SetupError, match="jean doctor"):
        cuda_driver.driver()


def test_a_launcher_uses_torchs_stream_and_the_cubin_of_the_gpu(monkeypatch, tmp_path):
    notes, built = Notes(context=5), []
    (tmp_path / "x.cubin").write_bytes(b"cubin")
    cuda_launch._kernel.cache_clear()
    monkeypatch.setattr(cuda_launch, "driver", lambda: Driver(notes))
    monkeypatch.setattr(
        cuda_launch, "build_unit", lambda *names: built.append(names) or SimpleNamespace(path=tmp_path / "x.cubin")
    )
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=77))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(multi_processor_count=132))
    launch = cuda_launch.Launcher(torch.device("cuda", 0))
    numbers, march = torch.zeros(3), structures.March(rays=5)
    for _ in range(2):
        launch("picture", "jean_march", 4, march, numbers, 11)
    assert launch.multiprocessors == 132 and built == [("picture", "sm_90")]  # loaded once
    (_, *size, stream, _, _), given = notes.launched[1]
    assert [n.value for n in size] == [4, 1, 1, cuda_launch.THREADS, 1, 1, 0] and stream.value == 77
    assert [int.from_bytes(value, "little") for value in given] == [5, numbers.data_ptr(), 11]
    cuda_launch._kernel.cache_clear()
