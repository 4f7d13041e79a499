"""GPU kernels are used only after a check; the check itself, without a GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from jean.errors import SetupError
from jean.kernels import backend as backends
from jean.kernels.backend import Backend
from jean.kernels.cuda import check as cuda_check
from jean.kernels.cuda import example as cuda_example
from jean.kernels.cuda import splat as cuda_splat
from jean.kernels.cuda import triplane as cuda_triplane
from jean.kernels.cuda.example import readable_picture
from jean.kernels.cuda.launch import launch_rays
from jean.kernels.ops import rays as ray_ops
from jean.kernels.ops import splat as splat_op
from jean.kernels.ops import triplane as triplane_op
from jean.models.head.fast import FastHead
from jean.models.head.mlp import MlpField
from jean.models.head.paper import PaperHead
from tests.helpers.cuda_emulator import emulator as emulator
from tests.kernels.ops.test_render import head, rays

CPU = torch.device("cpu")


@torch.no_grad()
def test_the_readable_rendering_equals_the_head():
    made = head()
    made.use(Backend.resolve("reference", "cpu"))
    origins, directions = rays(200)
    condition, view, bend = torch.randn(1, 16), torch.randn(1, 3), torch.randn(1, 64 * 64, 2) * 0.2
    want = made.trace(origins, directions, condition, view, torch.zeros(200, dtype=torch.long), None, bend)[-1]
    field = made.field.frame_field(condition, view, bend)
    got = readable_picture(field, made.occupancy, origins, directions, 10, made.full_samples_opacity)
    for name in ("channels", "opacity", "depth"):
        torch.testing.assert_close(getattr(got, name), getattr(want, name), atol=2e-4, rtol=1e-4)


def limit(operation: str) -> float:
    return cuda_check.CHECKS[operation][1]


@torch.no_grad()
def test_the_readable_mlp_equals_the_field():
    torch.manual_seed(0)
    field, positions, frame = MlpField(12, cuda_example.BOX), torch.randn(50, 3) * 8, torch.arange(50) % 2
    condition, direction = torch.randn(2, 12), torch.randn(2, 3)
    field.backend = Backend.resolve("reference", "cpu")
    want = field(positions, condition, direction, frame)
    got = cuda_example.readable_mlp(positions, frame, field.kernel_spec(condition, direction))
    torch.testing.assert_close(got[0], want[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(got[1], want[1], atol=1e-5, rtol=1e-4)


@pytest.fixture
def ray_kernels(emulator, monkeypatch):
    """``jean.kernels.ops.rays`` with the CUDA kernels."""
    monkeypatch.setattr(
        ray_ops,
        "_run",
        lambda name, rays, target, device, *given: launch_rays(name, rays, device, *given, launcher=emulator),
    )


def field_kernels(monkeypatch, launcher):
    """Makes the fast field's operator use ``launcher``."""
    monkeypatch.setattr(triplane_op, "on_gpu", lambda tensor: True)
    monkeypatch.setattr(cuda_triplane, "Launcher", lambda device: launcher)


def test_the_readable_triplane_equals_the_cpu_kernels():
    """ops/test_triplane.py compares the CPU kernels with the field's own torch."""
    assert cuda_check.check_triplane(CPU) < limit("triplane")


def splat_kernels(monkeypatch, launcher):
    """Makes the rasteriser use ``launcher``."""
    monkeypatch.setattr(splat_op, "on_gpu", lambda tensor: True)
    monkeypatch.setattr(cuda_splat, "Launcher", lambda device: launcher)


def test_the_readable_rasteriser_equals_the_cpu_kernels():
    assert cuda_check.check_splat(CPU) < limit("splat") / 20


def test_right_kernels_pass(emulator, ray_kernels, monkeypatch):
    field_kernels(monkeypatch, emulator)
    splat_kernels(monkeypatch, emulator)
    assert cuda_check.check_splat(CPU, size=30) < limit("splat") / 20
    # of 200 samples one, at whose place a hidden value is zero but for rounding, would be half of what is allowed
    assert cuda_check.check_triplane(CPU, samples=600) < limit("triplane") / 2
    assert cuda_check.check_picture(CPU, emulator, rays=200) < limit("picture") / 2
    assert cuda_check.check_mlp_values(CPU, emulator, samples=40) < limit("mlp_values") / 20
    assert cuda_check.check_mlp_half(CPU, emulator, samples=200) < limit("mlp_half") / 2
    assert cuda_check.check_march(CPU, rays=200) < limit("march") / 2
    assert cuda_check.check_composite(CPU, rays=50) < limit("composite") / 2


def test_wrong_gradients_of_gaussians_fail(monkeypatch):
    backward = torch.ops.jean.splat_backward

    def swapped(*given):
        made = list(backward(*given))
        made[1] = made[1].flip(1)  # of scales, in the wrong order
        return made

    monkeypatch.setattr(torch.ops.jean, "splat_backward", swapped)
    assert cuda_check.check_splat(CPU) > 2 * limit("splat")


def test_wrong_gradients_fail(emulator, monkeypatch):
    backward = cuda_check.launch_mlp_backward

    def swapped(field, samples, to_density, to_rgb, made, *rest):
        backward(field, samples, to_density, to_rgb, made, *rest)
        made[3].copy_(made[4].clone())  # another layer's

    monkeypatch.setattr(cuda_check, "launch_mlp_backward", swapped)
    assert cuda_check.check_mlp_values(CPU, emulator, samples=33) > 2 * limit("mlp_values")
    assert cuda_check.check_mlp_half(CPU, emulator, samples=64) > 2 * limit("mlp_half")


class Wrong:
    """Kernels that do nothing."""

    multiprocessors = 1

    def __call__(self, unit, name, blocks, *arguments, **threads):
        pass


def test_wrong_kernels_fail(monkeypatch):
    assert not cuda_check.check_picture(CPU, Wrong(), rays=50) < limit("picture")
    assert not cuda_check.check_mlp_values(CPU, Wrong(), samples=50) < limit("mlp_values")
    assert not cuda_check.check_mlp_half(CPU, Wrong(), samples=50) < limit("mlp_half")
    with monkeypatch.context() as patch:
        field_kernels(patch, Wrong())
        assert not cuda_check.check_triplane(CPU, samples=50) < limit("triplane")
        splat_kernels(patch, Wrong())
        assert not cuda_check.check_splat(CPU) < limit("splat")
    monkeypatch.setattr(ray_ops.torch, "empty", lambda *a, **k: torch.zeros(*a, **k))  # nothing is written there
    monkeypatch.setattr(ray_ops, "_run", lambda *given: None)
    assert not cuda_check.check_march(CPU, rays=50) < limit("march")
    assert not cuda_check.check_composite(CPU, rays=50) < limit("composite")


@torch.no_grad()
def test_a_layer_with_inputs_in_wrong_order_fails(emulator, monkeypatch):
    picture, mlp = cuda_check.readable_picture, cuda_check.readable_mlp

    def mixed(weight):
        return weight[:, torch.arange(weight.shape[1]) ^ 1]

    def wrong_picture(field, *rest):
        return picture(replace(field, weights=[mixed(field.weights[0]), *field.weights[1:]]), *rest)

    def wrong_mlp(positions, frame, spec):
        return mlp(
            positions, frame, replace(spec, weights=[*spec.weights[:3], mixed(spec.weights[3]), *spec.weights[4:]])
        )

    monkeypatch.setattr(cuda_check, "readable_picture", wrong_picture)
    monkeypatch.setattr(cuda_check, "readable_mlp", wrong_mlp)
    assert cuda_check.check_picture(CPU, emulator, rays=100) > 2 * limit("picture")
    assert cuda_check.check_mlp_half(CPU, emulator, samples=100) > 2 * limit("mlp_half")


@pytest.fixture
def gpu(monkeypatch):
    """A stand-in for a tensor on a GPU."""
    cuda_check.verdict.cache_clear()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    yield type("Tensor", (), {"is_cuda": True, "dtype": torch.float32, "device": torch.device("cuda", 0)})()
    cuda_check.verdict.cache_clear()


def uses_kernels(choice: str, gpu, operation: str) -> bool:
    """Whether a backend resolved for a GPU computes an operation with kernels."""
    return Backend.resolve(choice, gpu.device, operations=[operation]).uses_kernels(operation, gpu)


def test_training_kernels_have_to_pass_in_both_precisions(gpu, monkeypatch):
    monkeypatch.setitem(cuda_check.CHECKS, "mlp_values", (lambda device: 1e-6, 1e-3))
    monkeypatch.setitem(cuda_check.CHECKS, "mlp_half", (lambda device: 0.5, 3e-2))
    with pytest.warns(UserWarning, match="mlp_half on a GPU"):
        assert not uses_kernels("auto", gpu, "mlp")
    assert uses_kernels("auto", gpu, "mlp_values")
    assert "mlp_values" in backends.cuda_verdict("mlp_values", gpu.device).line


def test_auto_uses_kernels_that_have_passed(gpu, monkeypatch):
    asked = []
    monkeypatch.setitem(cuda_check.CHECKS, "picture", (lambda device: asked.append(device) or 1e-3, 5e-3))
    assert uses_kernels("auto", gpu, "render_rays") and uses_kernels("auto", gpu, "render_rays")
    assert asked == [gpu.device] and "1.0e-03" in backends.cuda_verdict("picture", gpu.device).line


@pytest.mark.parametrize("error", [0.1, float("nan")])
def test_auto_warns_and_uses_torch_where_kernels_are_wrong(error, gpu, monkeypatch):
    monkeypatch.setitem(cuda_check.CHECKS, "picture", (lambda device: error, 5e-3))
    with pytest.warns(UserWarning, match="a GPU.*torch takes their place"):
        assert not uses_kernels("auto", gpu, "render_rays")


def test_auto_warns_and_uses_torch_where_kernels_do_not_run(gpu, monkeypatch):
    def broken(device):
        raise SetupError("NVRTC was not found.")

    monkeypatch.setitem(cuda_check.CHECKS, "picture", (broken, 5e-3))
    with pytest.warns(UserWarning, match="do not run on a GPU .NVRTC"):
        assert not uses_kernels("auto", gpu, "render_rays")
    assert uses_kernels("native", gpu, "render_rays")  # insists: it will fail aloud
    assert not uses_kernels("reference", gpu, "render_rays")


@pytest.mark.parametrize("made", [FastHead, PaperHead])
def test_a_gpu_trains_and_renders_each_head_with_kernels(made, gpu, monkeypatch):
    for name, (_, allowed) in list(cuda_check.CHECKS.items()):
        monkeypatch.setitem(cuda_check.CHECKS, name, (lambda device, allowed=allowed: allowed / 2, allowed))
    assert uses_kernels("auto", gpu, made.trained_by)
    assert uses_kernels("auto", gpu, made.rendered_by)


def test_an_operation_without_gpu_kernels_uses_torch(gpu):
    assert not uses_kernels("auto", gpu, "torso") and not uses_kernels("native", gpu, "torso")
