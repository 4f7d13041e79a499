"""``Backend``: resolved once, and its answers for tensors of any device and dtype."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch

from jean.errors import JeanError, SetupError, UsageError
from jean.kernels import backend as backends
from jean.kernels import library
from jean.kernels.backend import OPERATIONS, REFERENCE, Backend
from jean.kernels.cuda.check import CHECKS, Verdict

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def tensor(device: torch.device, dtype: torch.dtype = torch.float32) -> SimpleNamespace:
    """The attributes of a tensor that a backend reads, for a device that this machine may lack."""
    return SimpleNamespace(device=device, dtype=dtype, is_cuda=device.type == "cuda")


@pytest.fixture
def verdicts(monkeypatch):
    """Verdicts on GPU kernels by name of the check; those not listed pass. Records which checks ran."""
    failing: set[str] = set()
    ran: list[str] = []

    def verdict(check: str, device: torch.device) -> Verdict:
        ran.append(check)
        return Verdict(check not in failing, f"{check} checked")

    monkeypatch.setattr(backends, "cuda_verdict", verdict)
    return SimpleNamespace(failing=failing, ran=ran)


@pytest.fixture
def without_library(monkeypatch):
    monkeypatch.setattr(library, "find", lambda: None)
    library.load.cache_clear()
    yield
    library.load.cache_clear()


def test_every_check_of_an_operation_exists():
    assert {check for entry in OPERATIONS.values() for check in (*entry.gpu_checks, *entry.gpu_checks_bf16)} == set(
        CHECKS
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_auto_uses_the_cpu_kernels_where_the_library_is_built(operation):
    backend = Backend.resolve("auto", "cpu")
    assert backend.uses_kernels(operation) and backend.uses_kernels(operation, torch.empty(0))
    assert backend.implementation(operation) == "native"
    assert not REFERENCE.uses_kernels(operation, torch.empty(0))
    assert Backend.resolve("reference", "cpu").implementation(operation) == "reference"


def test_auto_uses_torch_without_the_library_and_native_is_an_error(without_library):
    assert not Backend.resolve("auto", "cpu").kernels and not Backend.default().kernels
    with pytest.raises(SetupError, match="jean kernels build"):
        Backend.resolve("native", "cpu")


def test_the_default_uses_cpu_kernels_and_leaves_gpus_to_torch():
    backend = Backend.default()
    assert backend.uses_kernels("march", tensor(CPU)) and not backend.uses_kernels("march", tensor(GPU))
    assert copy.deepcopy(backend) == backend


def test_the_library_is_not_searched_after_resolving(monkeypatch):
    backend = Backend.resolve("auto", "cpu")
    monkeypatch.setattr(library, "load", lambda: pytest.fail("searched again"))
    assert backend.uses_kernels("triplane", torch.empty(0))


def test_float64_on_the_cpu_uses_kernels_where_they_have_gradients():
    backend = Backend.resolve("native", "cpu")
    for operation in ("triplane", "trace", "mlp", "composite", "torso", "roughness"):
        assert backend.uses_kernels(operation, torch.empty(0, dtype=torch.float64))
    assert not Backend.default().uses_kernels("render_rays", torch.empty(0, dtype=torch.float64))


def test_a_dtype_without_kernels_uses_torch_or_is_an_error():
    half = torch.empty(0, dtype=torch.float16)
    assert not Backend.resolve("auto", "cpu").uses_kernels("triplane", half)
    with pytest.raises(SetupError, match="triplane on cpu in torch"):
        Backend.resolve("native", "cpu").uses_kernels("triplane", half)


def test_a_gpu_uses_kernels_that_agree_with_torch(verdicts):
    lines: list[str] = []
    backend = Backend.resolve("auto", GPU, operations=["triplane", "march", "torso"], say=lines.append)
    assert sorted(verdicts.ran) == ["march", "triplane"] and len(lines) == 2
    assert backend.uses_kernels("triplane", tensor(GPU))
    assert not backend.uses_kernels("triplane", tensor(GPU, torch.float64))
    assert not backend.uses_kernels("triplane", tensor(CPU))
    assert not backend.uses_kernels("triplane", tensor(torch.device("cuda", 1)))


def test_a_gpu_uses_torch_where_kernels_are_wrong_and_native_does_not_ask(verdicts):
    verdicts.failing.add("mlp_half")
    backend = Backend.resolve("auto", GPU)
    assert not backend.uses_kernels("mlp") and backend.uses_kernels("mlp_values")
    verdicts.ran.clear()
    assert Backend.resolve("native", GPU).uses_kernels("mlp", tensor(GPU)) and not verdicts.ran


@pytest.mark.parametrize("choice", ["auto", "native"])
def test_a_gpu_computes_operations_without_gpu_kernels_with_torch(choice, verdicts):
    backend = Backend.resolve(choice, GPU)
    for operation in ("trace", "render_pixels", "render_mlp_rays", "torso", "roughness", "adam"):
        assert not backend.uses_kernels(operation) and not backend.uses_kernels(operation, tensor(GPU))


def test_native_rejects_tensors_of_another_device(verdicts):
    with pytest.raises(SetupError, match="the backend is for cuda:0"):
        Backend.resolve("native", GPU).uses_kernels("triplane", tensor(CPU))
    with pytest.raises(SetupError, match="no kernels for meta"):
        Backend.resolve("native", "meta")


def test_bf16_needs_kernels_that_have_it(verdicts):
    for options in (("reference", CPU), ("reference", GPU)):
        with pytest.raises(UsageError, match="bf16 needs the compiled kernels"):
            Backend.resolve(*options, "bf16")
    with pytest.raises(UsageError, match="no bf16 kernels on cuda"):
        Backend.resolve("auto", GPU, "bf16", operations=["render_rays", "march", "composite"])
    verdicts.ran.clear()
    assert Backend.resolve("auto", GPU, "bf16", operations=["mlp_values"]).uses_kernels("mlp_values")
    assert verdicts.ran == ["mlp_half"]
    verdicts.failing.add("mlp_half")
    with pytest.raises(UsageError, match="bf16 needs the compiled kernels"):
        Backend.resolve("auto", GPU, "bf16", operations=["mlp_values"])


def test_bf16_on_the_cpu_needs_a_processor_that_has_it():
    if library.bf16_targets():
        assert Backend.resolve("auto", "cpu", "bf16").precision == "bf16"
    else:
        with pytest.raises(JeanError, match="no bf16 kernels for this processor"):
            Backend.resolve("auto", "cpu", "bf16")


def test_unknown_operations_and_those_not_resolved_are_errors():
    with pytest.raises(ValueError, match="unknown operations: painting"):
        Backend.resolve("auto", "cpu", operations=["painting"])
    with pytest.raises(ValueError, match="not resolved for 'mlp'"):
        Backend.resolve("auto", "cpu", operations=["march"]).uses_kernels("mlp")
    with pytest.raises(ValueError, match="unknown backend"):
        Backend.resolve("fast", "cpu")


def test_older_functions_accept_a_backend():
    assert backends.use_native(Backend.default(), torch.empty(0), "picture")
    assert not backends.use_native(REFERENCE, torch.empty(0), "march")
