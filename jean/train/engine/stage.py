"""Interface between a trainer and the training loop: the protocol of a stage, and the schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch


class Stage(Protocol):
    """One training: the modules, the optimisers, and a step of optimisation.

    Attributes:
        name: of the stage, e.g. "nerf". A checkpoint stores it and can be resumed by this stage only.
        modules: networks, stored as ``<key>/<parameter>``. The keys "optimiser", "random" and "extra" are reserved.
        optimisers: stored with their state and hyperparameters.
        generator: random generator of the steps; its state is stored.
    """

    name: str
    modules: dict[str, torch.nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    generator: torch.Generator

    def step(self, step: int) -> Mapping[str, float | torch.Tensor]:
        """Takes optimisation step ``step`` (from 0) and returns scalars to log, "loss" among them.

        Scalars may be GPU tensors: the loop reads them on steps that log or save only, because reading synchronises.
        """
        ...

    def evaluate(self, step: int) -> dict[str, float]:
        """Scores the model after ``step`` steps without changing it. A signal may interrupt it at any point."""
        ...

    def preview(self, step: int, folder: Path) -> None:
        """Writes images into ``folder`` after ``step`` steps. A signal may interrupt it at any point."""
        ...

    def extra_state(self) -> dict[str, torch.Tensor]:
        """Further tensors that the next steps depend on, e.g. an occupancy grid."""
        ...

    def load_extra_state(self, tensors: dict[str, torch.Tensor]) -> None:
        """Restores the tensors of ``extra_state``, given on the CPU."""
        ...


@dataclass(frozen=True)
class Schedule:
    """Number of steps, and the intervals in steps at which the loop acts.

    An interval of 0 means never. The last step always saves, evaluates and logs.
    """

    steps: int
    save_every: int
    evaluate_every: int
    log_every: int
    preview_every: int
