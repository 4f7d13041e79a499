"""A training step on a GPU neither waits for the GPU nor creates tensors of data-dependent shapes."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from jean.drivers.person_frames import PersonFrames, open_person
from jean.kernels.backend import OPERATIONS, Backend
from jean.train.nerf import stage as nerf_stage
from jean.train.nerf.presets import resolve
from jean.train.nerf.train import NerfConfig, NerfStage
from tests.helpers.capture_check import GPU, META, Capturable, fake_tensor, move
from tests.helpers.eye_clip import clip_of
from tests.helpers.tiny_clip import make_clip

CASES = {
    "fast": {"preset": "fast", "rays": 64, "frames_per_step": 4, "audio_attention": 8},
    "paper": {"preset": "paper", "rays": 8, "audio_attention": 8},
}
EYE_TENSORS = ["points", "coefficients", "centres", "opening", "rim", "around"]
SLOW = pytest.mark.slow  # the other two of the four variants
DEVICES = [GPU, META]
VARIANTS = [(False, True), (True, False), pytest.param(True, True, marks=SLOW), pytest.param(False, False, marks=SLOW)]


def choices():
    """All combinations; the fast suite takes each device, backend and case in alternating variants."""
    parameters = []
    for place in itertools.product(range(2), repeat=5):
        device, kernels, case, regularise, smoothing = place
        slow = [SLOW] if regularise == smoothing or sum(place[:4]) % 2 else []
        given = DEVICES[device], bool(kernels), list(CASES)[case], bool(regularise), bool(smoothing)
        parameters.append(pytest.param(*given, marks=slow, id="-".join(map(str, given))))
    return parameters


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "a", frames=10, size=20)


def stage(clip, case="fast", eyes=False, **options):
    """A stage on the CPU that takes the code paths of a GPU."""
    config = resolve(NerfConfig(**(CASES[case] | {"device": "cpu", "steps": 100} | options)))
    data = open_person([clip])
    if eyes:
        data = PersonFrames(data.clips, data.method, eyes=True)
    trained = NerfStage(data, config, torch.device("cpu"))
    trained.model.head.every_ray = True
    trained.tracks = trained.tracks.resident()
    trained.frames = trained.tracks.frames
    return trained


def on_gpu(trained, device=GPU):
    """The same stage with all tensors on a fake GPU; call it under ``FakeTensorMode``."""
    trained.device = trained.batches.images.device = trained.batches.images.home = device
    for module in (trained.model, trained.latents):
        move(module, device)
    for owner, names in (
        (trained, ["lips"]),
        (trained.batches, ["train", "boxes", "frame", "bounds"]),
        (trained.batches.images, ["clip_of", "plates", "torsos"]),
        *([] if trained.sides is None else [(trained.sides, list(vars(trained.sides)))]),
        *([] if trained.eye_depth is None else [(trained.eye_depth, EYE_TENSORS)]),
        *([] if trained.exchange is None else [(trained.exchange, ["order", "first", "count"])]),
    ):
        for name in names:
            setattr(owner, name, fake_tensor(getattr(owner, name), device))
    trained.tracks = trained.tracks.to("cpu")
    given = {name: value for name, value in vars(trained.tracks).items() if value is not None}
    trained.tracks = replace(trained.tracks, **{name: fake_tensor(value, device) for name, value in given.items()})
    trained.frames = trained.tracks.frames
    parts = trained.batches.images.parts
    trained.batches.images.parts = [tuple(fake_tensor(value, device) for value in part) for part in parts]
    return trained


@pytest.mark.parametrize("regularise, smoothing", VARIANTS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("backend", ["reference", "native"])
def test_a_step_can_be_recorded(clip, case, backend, regularise, smoothing):
    """Runs losses, gradients and Adam on the CPU; the operations are those of a GPU."""
    trained = stage(clip, case, backend=backend)
    trained.model.smoothing.fill_(smoothing)
    for group in trained.optimiser.param_groups:
        group["lr"] = torch.tensor(group["lr"])
    trained.learn(regularise)  # creates Adam's state and loads kernels
    with Capturable() as seen:
        trained.learn(regularise)
    assert {"_fused_adam_.tensor_lr", "composite_backward" if backend == "native" else "cumsum"} <= seen.names


@pytest.mark.parametrize("device, kernels, case, regularise, smoothing", choices())
def test_losses_and_gradients_stay_on_the_gpu(clip, case, kernels, regularise, smoothing, device, monkeypatch):
    """Runs on tensors that have a device and a shape, but no values that could be waited for."""
    monkeypatch.setattr(FakeTensor, "is_cuda", property(lambda tensor: True))
    monkeypatch.setattr(torch, "autocast", lambda *options, **named: nullcontext())  # which knows its devices
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *device: False)
    trained = stage(clip, case)
    trained.model.smoothing.fill_(smoothing)
    with FakeTensorMode():
        on_gpu(trained, device)
        trained.model.use(Backend("auto", device, kernels=frozenset(OPERATIONS if kernels else ())))
        with Capturable(device) as seen:
            losses, _ = trained.losses(regularise)
            if device == META:
                torch.stack(list(losses.values())).sum().backward()
    assert all(value.device == device for value in losses.values())
    assert ("composite" in seen.names) == kernels
    if device == META:
        assert ("composite_backward" in seen.names) == kernels
        unmoved = {name for name, p in trained.model.named_parameters() if p.grad is None}
        assert all(name.startswith("audio_attention") for name in unmoved) and bool(unmoved) != smoothing


def reads_back(losses):
    float(losses["photo"].detach().sum())


def asks_a_mask(losses):
    losses["photo"].reshape(1)[losses["photo"].reshape(1) > 0]


def counts(losses):
    (losses["photo"].reshape(1) > 0).nonzero()


def brings_numbers(losses):
    torch.tensor([1.0, 2.0], device=losses["photo"].device)


def exponentiates(losses):
    torch.linalg.matrix_exp(losses["photo"].detach() * torch.eye(3, device=losses["photo"].device))


def copies(losses):
    losses["photo"].detach().cpu()


@pytest.mark.parametrize("fault", [reads_back, asks_a_mask, counts, brings_numbers, exponentiates])
def test_unrecordable_operations_are_detected_on_the_cpu(clip, fault, monkeypatch):
    trained = stage(clip)
    add_to_losses(fault, monkeypatch)
    with pytest.raises(AssertionError), Capturable():
        trained.learn(False)


@pytest.mark.parametrize("fault", [reads_back, asks_a_mask, counts, brings_numbers, exponentiates, copies])
def test_operations_that_wait_for_the_gpu_are_detected(clip, fault, monkeypatch):
    trained = stage(clip, backend="reference")
    add_to_losses(fault, monkeypatch)
    with FakeTensorMode():
        on_gpu(trained)
        with pytest.raises(AssertionError), Capturable(GPU):
            trained.losses(False)


def test_skipping_rays_that_miss_the_head_cannot_be_recorded(clip):
    trained = stage(clip)
    trained.model.head.every_ray = False
    with pytest.raises(AssertionError, match=r"mask|nonzero"), Capturable():
        trained.learn(False)


def add_to_losses(fault, monkeypatch):
    """Adds a forbidden operation to a step's losses."""
    pixel_losses = nerf_stage.pixel_losses

    def faulty(*arguments):
        losses = pixel_losses(*arguments)
        fault(losses)
        return losses

    monkeypatch.setattr(nerf_stage, "pixel_losses", faulty)


def test_eyes_and_exchanged_expressions_stay_on_the_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(FakeTensor, "is_cuda", property(lambda tensor: True))
    monkeypatch.setattr(torch, "autocast", lambda *options, **named: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *device: False)
    clip = clip_of(tmp_path / "eyes", np.linspace(-5, 5, 20).reshape(10, 2), np.full(10, 0.8)).folder
    trained = stage(clip, eyes=True, expression_exchange=0.5, expression_dropout=0.1)
    assert trained.eye_depth is not None and trained.exchange is not None
    with FakeTensorMode():
        on_gpu(trained, META)
        trained.model.use(Backend("auto", META, kernels=frozenset()))
        with Capturable(META):
            losses, frames = trained.losses(True)
            torch.stack(list(losses.values())).sum().backward()
    assert losses["eye_depth"].device == META and frames.eyes.device == META
