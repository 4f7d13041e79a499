"""Converts ``--minutes`` into optimisation steps, by timing this machine once.

The minutes are those of the whole command: reading the clips, steps, evaluations, previews, and the measurements of
the lips and the gaze at the end.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from jean.drivers.person_frames import PersonFrames
from jean.progress import Progress
from jean.train.engine import ranks
from jean.train.engine.stage import Schedule
from jean.train.nerf.presets import ResolvedNerfConfig
from jean.train.nerf.response import measuring_seconds, wanted
from jean.train.nerf.stage import NerfStage

TRIAL_STEPS = 1000  # of the schedule that is timed
CONTROL_EVERY = 100  # steps: density control of Gaussians (``jean.models.head.density_control``)
WARM_UP, TIMED = (
    16,
    32,
)  # steps: a GPU records its steps first; 32 hold two updates of the occupancy grid, as in training
SAVES, EVALUATIONS = 8, 4  # per training
# Fraction of the trial's time by which steps take longer on average: those of Gaussians, which training makes opaque,
# took 2 to 16 % more CPU time within 1000 steps; checkpoints and the log.
SLOWING = 0.1


@dataclass(frozen=True)
class Costs:
    """Measured times, s.

    Attributes:
        step: of one optimisation step.
        evaluation: of one evaluation with its preview.
        set_up: of a new stage.
        measuring: of what is measured after the training.
    """

    step: float
    evaluation: float
    set_up: float
    measuring: float

    def steps_in(self, seconds: float) -> int:
        """Number of steps, at least one, of a training that takes ``seconds`` with everything around it.

        >>> Costs(step=0.05, evaluation=2.0, set_up=3.0, measuring=9.0).steps_in(300)
        5090
        """
        return max(1, int((seconds - self.aside) / (self.step * (1 + SLOWING))))

    @property
    def aside(self) -> float:
        """Seconds of a training that are no steps."""
        return self.set_up + EVALUATIONS * self.evaluation + self.measuring


def training_schedule(steps: int) -> Schedule:
    """When a training of ``steps`` steps saves, evaluates and writes previews."""
    every = max(1, steps // SAVES)
    rarely = SAVES // EVALUATIONS * every
    return Schedule(steps, save_every=every, evaluate_every=rarely, log_every=50, preview_every=rarely)


def steps_in(
    minutes: float,
    config: ResolvedNerfConfig,
    data: PersonFrames,
    device: torch.device,
    progress: Progress,
    began: float,
) -> int:
    """Number of steps of a command that takes ``minutes`` in all.

    Args:
        minutes: of the command.
        config: of a training of ``TRIAL_STEPS`` steps.
        data: the person's frames.
        device: where training runs.
        progress: receives a message.
        began: ``time.perf_counter()`` at the start of the command.
    """
    created = time.perf_counter()
    trial = NerfStage(data, config, device)
    set_up = time.perf_counter() - created
    costs = trial_costs(trial, set_up, lambda: _synchronised_time(device))
    steps = ranks.from_first(costs.steps_in(60 * minutes - (time.perf_counter() - began)))
    progress.say(f"{minutes:g} minutes are {steps} steps on this machine, and {costs.aside:.0f} s for everything else.")
    return steps


def trial_costs(trial: NerfStage, set_up: float, clock: Callable[[], float]) -> Costs:
    """Times a stage that is not used afterwards.

    A head of Gaussians begins with a part of its budget, and its steps become slower as density control places the
    rest, within a tenth of a training. So the steps at which control is due are taken first.

    Args:
        trial: a new stage.
        set_up: seconds that it took to make it.
        clock: seconds, after the device has done all its work.
    """
    for step in range(CONTROL_EVERY - 1, TRIAL_STEPS, CONTROL_EVERY):
        trial.step(step)
    began = 0.0
    for index in range(WARM_UP + TIMED):
        if index == WARM_UP:
            began = clock()
        trial.step(CONTROL_EVERY + index)
    stepped = clock()
    trial.evaluate(0)
    with tempfile.TemporaryDirectory() as folder:
        trial.preview(0, Path(folder))
    previewed = clock()
    measuring = 0.0
    if kinds := wanted(trial.config, trial.data):
        measuring = measuring_seconds(kinds, trial.ema, trial.frames, trial.data, clock)
    return Costs((stepped - began) / TIMED, previewed - stepped, set_up, measuring)


def _synchronised_time(device: torch.device) -> float:
    """Seconds, after the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
