"""CUDA graphs: recorded steps train like eager steps, also after an interruption or a failed recording."""

from __future__ import annotations

import pytest
import torch

from jean.checkpoint import load_checkpoint
from jean.drivers.person_frames import open_person
from jean.errors import DivergedError, Interrupted
from jean.progress import Silent
from jean.train.nerf import train as nerf
from jean.train.nerf.cuda_graphs import WARMUP_CALLS, Graphs
from jean.train.nerf.presets import resolve
from jean.train.nerf.train import NerfConfig, NerfStage, train_nerf
from tests.helpers.cuda_graph_stub import StandInGenerator, StandInGraph, install
from tests.helpers.tiny_clip import make_clip

CASES = {
    "fast": {"preset": "fast", "rays": 32, "frames_per_step": 4},
    "attention": {"preset": "fast", "rays": 32, "frames_per_step": 4, "audio_attention": 8},
    "paper": {"preset": "paper", "rays": 4},
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "a", frames=10, size=20)


class GpuStage(NerfStage):
    """A stage on the CPU that takes the code paths of a GPU."""

    records = True

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.model.head.every_ray = True
        self.optimiser._native = False  # on a GPU, Adam is torch's
        for group in self.optimiser.param_groups:
            group["lr"] = torch.tensor(group["lr"])
        self.tracks = self.tracks.resident()
        self.frames = self.tracks.frames
        if self.records:
            self.graphs = Graphs(self.device, [StandInGenerator(self.generator)])


class EagerStage(GpuStage):
    records = False


def stage(kind, clip, case="fast", steps=100):
    config = resolve(NerfConfig(device="cpu", steps=steps, **CASES[case]))
    data = open_person([clip])
    return kind(data, config, torch.device("cpu"))


def weights(trained):
    return [*trained.ema.parameters(), *trained.model.parameters(), *trained.latents.parameters()]


@pytest.mark.parametrize(
    "case, variants", [("fast", 2), pytest.param("attention", 4, marks=pytest.mark.slow), ("paper", 2)]
)
def test_recorded_steps_equal_eager_steps(clip, monkeypatch, case, variants):
    install(monkeypatch)
    steps = 50 if case == "attention" else 20  # enough for every variant, and for an update of the occupancy grid
    eager, recorded = (stage(kind, clip, case, steps) for kind in (EagerStage, GpuStage))
    for step in range(steps):
        torch.manual_seed(step)  # dropout draws from the global generator
        expected = {name: float(value) for name, value in eager.step(step).items()}
        torch.manual_seed(step)
        assert {name: float(value) for name, value in recorded.step(step).items()} == expected
    assert all(torch.equal(a, b) for a, b in zip(weights(eager), weights(recorded), strict=True))
    assert torch.equal(eager.generator.get_state(), recorded.generator.get_state())
    assert len(StandInGraph.instances) == variants
    assert sum(graph.replays for graph in StandInGraph.instances) == steps - variants * WARMUP_CALLS
    assert all(graph.generators == recorded.graphs.generators for graph in StandInGraph.instances)


def test_host_values_in_a_recording_change_the_training(clip, monkeypatch):
    """The test above detects them: learning rates as Python numbers stay those of the recorded step."""
    install(monkeypatch)
    eager, recorded = (stage(kind, clip) for kind in (EagerStage, GpuStage))
    for group in recorded.optimiser.param_groups:
        group["lr"] = float(group["lr"])
    for step in range(8):
        for trained in (eager, recorded):
            torch.manual_seed(step)
            trained.step(step)
    assert not all(torch.equal(a, b) for a, b in zip(weights(eager), weights(recorded), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("case, stop_at", [("fast", 10), ("attention", 17)])
def test_an_interrupted_recorded_run_ends_with_the_same_weights(clip, monkeypatch, tmp_path, case, stop_at):
    install(monkeypatch)
    monkeypatch.setattr(nerf, "NerfStage", GpuStage)
    config, step = NerfConfig(steps=24, device="cpu", **CASES[case]), GpuStage.step

    def stopping(self, number):
        if number == stop_at:
            raise KeyboardInterrupt
        return step(self, number)

    train_nerf([clip], tmp_path / "whole", config, Silent())
    monkeypatch.setattr(GpuStage, "step", stopping)
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        train_nerf([clip], tmp_path / "broken", config, Silent())
    assert 0 < load_checkpoint(tmp_path / "broken").step <= stop_at
    monkeypatch.setattr(GpuStage, "step", step)
    train_nerf([clip], tmp_path / "broken", config, Silent())
    hashes = [load_checkpoint(tmp_path / name).content_hash for name in ("whole", "broken")]
    assert hashes[0] == hashes[1]
    assert any(graph.replays for graph in StandInGraph.instances)


def test_steps_that_cannot_be_recorded_run_eagerly(clip, monkeypatch):
    install(monkeypatch)
    StandInGraph.error = "operation not permitted when stream is capturing\nmore"
    eager, failing = (stage(kind, clip) for kind in (EagerStage, GpuStage))
    warnings = []
    failing.graphs.warn = warnings.append
    for step in range(10):
        for trained in (eager, failing):
            torch.manual_seed(step)
            trained.step(step)
    assert all(torch.equal(a, b) for a, b in zip(weights(eager), weights(failing), strict=True))
    assert len(warnings) == 1 and "operation not permitted when stream is capturing)" in warnings[0]
    assert len(StandInGraph.instances) == 1 and not StandInGraph.instances[0].replays


def test_non_finite_weights_end_a_recorded_run_and_are_not_saved(clip, monkeypatch, tmp_path):
    install(monkeypatch)
    monkeypatch.setattr(nerf, "NerfStage", GpuStage)
    step = GpuStage.step

    def breaking(self, number):
        scalars = step(self, number)
        if number == 20:
            with torch.no_grad():
                self.model.torso.shade[0].weight[0, 0] = torch.nan
        return scalars

    monkeypatch.setattr(GpuStage, "step", breaking)
    with pytest.raises(DivergedError):
        train_nerf([clip], tmp_path / "run", NerfConfig(steps=80, device="cpu", **CASES["fast"]), Silent())
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.step == 20 and all(torch.isfinite(v).all() for v in checkpoint.tensors.values())
