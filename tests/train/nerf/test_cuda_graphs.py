"""Steps as CUDA graphs: the same training as by hand, also where it is broken off, and what happens if none is made."""

from __future__ import annotations

import pytest
import torch

from jean.checkpoint import load_checkpoint
from jean.drivers.person_frames import open_person
from jean.errors import DivergedError, Interrupted
from jean.progress import Silent
from jean.train.nerf import train as nerf
from jean.train.nerf.cuda_graphs import WARM, Graphs
from jean.train.nerf.presets import resolve
from jean.train.nerf.train import NerfConfig, NerfStage, train_nerf
from tests.helpers.stand_in_card import StandInGenerator, StandInGraph, install
from tests.helpers.tiny_clip import make_clip

CASES = {
    "fast": {"rays": 32, "frames_per_step": 4},
    "attention": {"rays": 32, "frames_per_step": 4, "audio_attention": 8},
    "paper": {"preset": "paper", "rays": 4},
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "a", frames=10, size=20)


class CardStage(NerfStage):
    """A stage on the processor that does as on a card."""

    records = True

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.model.head.every_ray = True
        self.optimiser._native = False  # a card's Adam is torch's
        for group in self.optimiser.param_groups:
            group["lr"] = torch.tensor(group["lr"])
        if self.records:
            self.graphs = Graphs(self.device, [StandInGenerator(self.generator)])


class HandStage(CardStage):
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
def test_recorded_steps_train_as_steps_by_hand(clip, monkeypatch, case, variants):
    install(monkeypatch)
    steps = 50 if case == "attention" else 20  # every variant often enough, and the grid's update
    by_hand, recorded = (stage(kind, clip, case, steps) for kind in (HandStage, CardStage))
    for step in range(steps):
        torch.manual_seed(step)  # dropout draws from the global generator
        expected = {name: float(value) for name, value in by_hand.step(step).items()}
        torch.manual_seed(step)
        assert {name: float(value) for name, value in recorded.step(step).items()} == expected
    assert all(torch.equal(a, b) for a, b in zip(weights(by_hand), weights(recorded), strict=True))
    assert torch.equal(by_hand.generator.get_state(), recorded.generator.get_state())
    assert len(StandInGraph.made) == variants
    assert sum(graph.replays for graph in StandInGraph.made) == steps - variants * WARM
    assert all(graph.generators == recorded.graphs.generators for graph in StandInGraph.made)


def test_what_the_host_decides_inside_a_recording_is_noticed(clip, monkeypatch):
    """The comparison above would fail: rates as numbers stay those of the step that was recorded."""
    install(monkeypatch)
    by_hand, recorded = (stage(kind, clip) for kind in (HandStage, CardStage))
    for group in recorded.optimiser.param_groups:
        group["lr"] = float(group["lr"])
    for step in range(8):
        for trained in (by_hand, recorded):
            torch.manual_seed(step)
            trained.step(step)
    assert not all(torch.equal(a, b) for a, b in zip(weights(by_hand), weights(recorded), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("case, stop_at", [("fast", 10), ("attention", 17)])
def test_a_recorded_run_that_was_broken_off_ends_with_the_same_weights(clip, monkeypatch, tmp_path, case, stop_at):
    install(monkeypatch)
    monkeypatch.setattr(nerf, "NerfStage", CardStage)
    config, step = NerfConfig(steps=24, device="cpu", **CASES[case]), CardStage.step

    def stopping(self, number):
        if number == stop_at:
            raise KeyboardInterrupt
        return step(self, number)

    train_nerf([clip], tmp_path / "whole", config, Silent())
    monkeypatch.setattr(CardStage, "step", stopping)
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        train_nerf([clip], tmp_path / "broken", config, Silent())
    assert 0 < load_checkpoint(tmp_path / "broken").step <= stop_at
    monkeypatch.setattr(CardStage, "step", step)
    train_nerf([clip], tmp_path / "broken", config, Silent())
    hashes = [load_checkpoint(tmp_path / name).content_hash for name in ("whole", "broken")]
    assert hashes[0] == hashes[1]
    assert any(graph.replays for graph in StandInGraph.made)


def test_what_cannot_be_recorded_is_launched_by_hand(clip, monkeypatch):
    install(monkeypatch)
    StandInGraph.fails = "operation not permitted when stream is capturing\nmore"
    by_hand, failing = (stage(kind, clip) for kind in (HandStage, CardStage))
    said = []
    failing.graphs.warn = said.append
    for step in range(10):
        for trained in (by_hand, failing):
            torch.manual_seed(step)
            trained.step(step)
    assert all(torch.equal(a, b) for a, b in zip(weights(by_hand), weights(failing), strict=True))
    assert len(said) == 1 and "operation not permitted when stream is capturing)" in said[0]
    assert len(StandInGraph.made) == 1 and not StandInGraph.made[0].replays


def test_what_is_not_finite_ends_a_recorded_run_and_is_not_saved(clip, monkeypatch, tmp_path):
    install(monkeypatch)
    monkeypatch.setattr(nerf, "NerfStage", CardStage)
    step = CardStage.step

    def breaking(self, number):
        found = step(self, number)
        if number == 20:
            with torch.no_grad():
                self.model.torso.shade[0].weight[0, 0] = torch.nan
        return found

    monkeypatch.setattr(CardStage, "step", breaking)
    with pytest.raises(DivergedError):
        train_nerf([clip], tmp_path / "run", NerfConfig(steps=80, device="cpu", **CASES["fast"]), Silent())
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.step == 20 and all(torch.isfinite(v).all() for v in checkpoint.tensors.values())
