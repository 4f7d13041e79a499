"""``--minutes``: what is timed, and how many steps fit."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from jean.drivers.gaze_response import GazeResponse
from jean.drivers.lip_response import LipResponse
from jean.drivers.person_frames import open_person
from jean.progress import Silent
from jean.train.nerf import duration, measurement, response
from jean.train.nerf.config import NerfConfig
from jean.train.nerf.duration import Costs, steps_in, training_schedule, trial_costs
from jean.train.nerf.presets import resolve
from jean.train.nerf.stage import NerfStage
from tests.helpers.tiny_clip import make_clip


class Clock:
    """Time that passes only when work says so, s."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class GrowingStage:
    """A step takes 0.1 ms per Gaussian; every 100th step adds ten, up to 100."""

    def __init__(self, clock, *given):
        self.clock, self.count, self.pace = clock, 60, 1.0
        self.config = SimpleNamespace(lip_response=False, gaze_response=False)
        self.evaluations = self.previews = 0

    def step(self, step):
        self.clock.now += 0.0001 * self.count * self.pace
        if (step + 1) % 100 == 0:
            self.count = min(self.count + 10, 100)

    def evaluate(self, step):
        self.clock.now += 3.0
        self.evaluations += 1

    def preview(self, step, folder):
        self.clock.now += 1.0
        self.previews += 1


def test_a_step_is_timed_with_all_gaussians():
    clock = Clock()
    stage = GrowingStage(clock)
    stage.data = None
    costs = trial_costs(stage, 2.0, clock)
    assert costs.step == pytest.approx(0.01) and costs.evaluation == pytest.approx(4.0)
    assert costs.set_up == 2.0 and costs.measuring == 0.0


def test_steps_evaluations_and_the_rest_fill_the_minutes(monkeypatch):
    clock, config = Clock(), SimpleNamespace(lip_response=False, gaze_response=False)

    class Stage(GrowingStage):
        def __init__(self, *given):
            clock.now += 5.0
            super().__init__(clock)
            self.data = None

    monkeypatch.setattr(duration, "NerfStage", Stage)
    monkeypatch.setattr(duration, "time", SimpleNamespace(perf_counter=clock))
    clock.now = 20.0  # reading the clips took 20 s
    steps = steps_in(3, config, None, torch.device("cpu"), Silent(), began=0.0)
    stage, schedule = Stage(), training_schedule(steps)
    stage.pace = 1 + duration.SLOWING  # its steps become slower while it learns
    for step in range(steps):
        stage.step(step)
        if (step + 1) % schedule.evaluate_every == 0:
            stage.evaluate(step)
        if (step + 1) % schedule.preview_every == 0:
            stage.preview(step, None)
    assert stage.evaluations == duration.EVALUATIONS
    assert clock.now == pytest.approx(180, rel=0.03)


def test_too_few_minutes_are_one_step():
    assert Costs(step=0.1, evaluation=2.0, set_up=1.0, measuring=5.0).steps_in(1.0) == 1


def test_the_trial_of_a_gaussian_head_reaches_its_budget(tmp_path):
    config = resolve(NerfConfig(preset="gaussian", rays=144, frames_per_step=1), duration.TRIAL_STEPS)
    data = open_person([make_clip(tmp_path / "clip", frames=10, size=24)], config.expression)
    stage = NerfStage(data, config, torch.device("cpu"))
    gaussians = stage.model.head.gaussians
    budget, began = len(gaussians.centre), int(gaussians.count)
    counts = []
    step = stage.step
    stage.step = lambda number: (step(number), counts.append(int(gaussians.count)))
    trial_costs(stage, 0.0, Clock())
    assert began < 0.65 * budget and min(counts[-duration.TIMED :]) > 0.95 * budget


def test_the_measurement_of_responses_is_timed_on_a_few_frames(tmp_path, monkeypatch):
    clock, tracked = Clock(), []

    class Tracker:
        version = "1"

        def track(self, frames):
            for _, image in frames:
                clock.now += 0.5
                tracked.append(image.shape)
                yield []

    def draw(*given):
        clock.now += 0.25
        return SimpleNamespace(rgb=np.zeros((24, 24, 3), np.uint8))

    monkeypatch.setattr(measurement.registry, "create", lambda kind, name: Tracker())
    monkeypatch.setattr(response, "render_frame", draw)
    data = open_person([make_clip(tmp_path / "clip", frames=10, size=24)])
    seconds = response.measuring_seconds([LipResponse], None, lambda rows: None, data, clock)
    # 60 real frames; three frames with 15 openings and 8 widths each
    assert seconds == pytest.approx(60 * 0.5 + 3 * 23 * 0.75)
    assert len(tracked) == 1 + response.TRIED
    # four frames with 11 gazes across and 11 down
    seconds = response.measuring_seconds([LipResponse, GazeResponse], None, lambda rows: None, data, clock)
    assert seconds == pytest.approx(60 * 0.5 + (3 * 23 + 4 * 22) * 0.75)
    assert response.measuring_seconds([], None, lambda rows: None, data, clock) == 0
    monkeypatch.setattr(measurement.registry, "create", lambda kind, name: int("no tracker", base="x"))
    assert response.measuring_seconds([LipResponse], None, lambda rows: None, data, clock) == 0
