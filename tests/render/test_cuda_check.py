"""Kernels of a card are trusted only after a check; the check itself, without a card."""

from __future__ import annotations

import pytest
import torch
from cuda_emulator import emulator as emulator
from test_picture_op import head, rays

from jean.errors import SetupError
from jean.render import cuda_check, ops
from jean.render.cuda_check import readable_picture

CPU = torch.device("cpu")


@torch.no_grad()
def test_the_readable_picture_equals_the_heads_own():
    made = head()
    made.use("reference")
    origins, directions = rays(200)
    condition, view, bend = torch.randn(1, 16), torch.randn(1, 3), torch.randn(1, 64 * 64, 2) * 0.2
    want = made.trace(origins, directions, condition, view, torch.zeros(200, dtype=torch.long), None, bend)[-1]
    got = readable_picture(made.field.of_frame(condition, view, bend), made.grid, origins, directions, 10)
    for name in ("channels", "opacity", "depth"):
        torch.testing.assert_close(getattr(got, name), getattr(want, name), atol=2e-4, rtol=1e-4)


def test_right_kernels_pass(emulator):
    assert cuda_check.check_picture(CPU, emulator, rays=200) < cuda_check.MEAN_ERROR / 2


class Wrong:
    """Kernels that do nothing."""

    processors = 1

    def __call__(self, unit, name, blocks, *arguments):
        pass


def test_wrong_kernels_fail(emulator):
    assert not cuda_check.check_picture(CPU, Wrong(), rays=50) < cuda_check.MEAN_ERROR


def test_a_layer_read_in_a_wrong_order_fails(emulator, monkeypatch):
    example = cuda_check.example(CPU, 100)
    mixed = list(example[0].weights)
    mixed[0] = mixed[0][:, torch.arange(64) ^ 1]
    wrong = cuda_check.FrameField(*(*vars(example[0]).values(),))
    object.__setattr__(wrong, "weights", mixed)
    read = cuda_check.readable_picture
    monkeypatch.setattr(cuda_check, "readable_picture", lambda field, *rest: read(wrong, *rest))
    assert cuda_check.check_picture(CPU, emulator, rays=100) > 2 * cuda_check.MEAN_ERROR


@pytest.fixture
def card(monkeypatch):
    """A tensor that says it is on a card, and a card's name."""
    cuda_check.verdict.cache_clear()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    yield type("Tensor", (), {"is_cuda": True, "dtype": torch.float32, "device": torch.device("cuda", 0)})()
    cuda_check.verdict.cache_clear()


def test_auto_uses_kernels_that_have_passed(card, monkeypatch):
    asked = []
    monkeypatch.setitem(cuda_check.CHECKS, "picture", lambda device: asked.append(device) or 1e-3)
    assert ops.use_native("auto", card, "picture") and ops.use_native("auto", card, "picture")
    assert asked == [card.device] and "1.0e-03" in ops.cuda_verdict("picture", card.device).line


@pytest.mark.parametrize("error", [0.1, float("nan")])
def test_auto_warns_and_takes_torch_where_kernels_are_wrong(error, card, monkeypatch):
    monkeypatch.setitem(cuda_check.CHECKS, "picture", lambda device: error)
    with pytest.warns(UserWarning, match="a card.*torch takes their place"):
        assert not ops.use_native("auto", card, "picture")


def test_auto_warns_and_takes_torch_where_kernels_do_not_run(card, monkeypatch):
    def broken(device):
        raise SetupError("NVRTC was not found.")

    monkeypatch.setitem(cuda_check.CHECKS, "picture", broken)
    with pytest.warns(UserWarning, match="do not run on a card .NVRTC"):
        assert not ops.use_native("auto", card, "picture")
    assert ops.use_native("native", card, "picture")  # insists: it will fail aloud
    assert not ops.use_native("reference", card, "picture")


def test_what_has_no_kernel_on_a_card_goes_by_torch(card):
    assert not ops.use_native("auto", card, "triplane")
    with pytest.raises(SetupError, match="triplane on cuda"):
        ops.use_native("native", card, "triplane")
