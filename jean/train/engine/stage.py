"""What a trainer supplies to the loop, and when the loop calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch


class Stage(Protocol):
    """What a trainer supplies.

    Attributes:
        name: e.g. "nerf"; a checkpoint names it, and another stage refuses that checkpoint.
        modules: stored under ``<key>/<parameter>``; no key is "optimiser", "random" or "extra".
        optimisers: stored with their hyperparameters.
        generator: every random draw of a step comes from it; its state is stored.
    """

    name: str
    modules: dict[str, torch.nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    generator: torch.Generator

    def step(self, step: int) -> Mapping[str, float | torch.Tensor]:
        """Does optimisation step ``step`` (from 0); returns scalars to log, "loss" among them.

        Tensors of a card are read only where they are needed: reading them waits for it.
        """
        ...

    def evaluate(self, step: int) -> dict[str, float]:
        """Scores the model after ``step`` steps without changing it; may be cut short at any point."""
        ...

    def preview(self, step: int, folder: Path) -> None:
        """Writes images into ``folder`` after ``step`` steps; may be cut short at any point."""
        ...

    def extra_state(self) -> dict[str, torch.Tensor]:
        """Further tensors that decide how training goes on, e.g. an occupancy grid."""
        ...

    def load_extra_state(self, tensors: dict[str, torch.Tensor]) -> None:
        """Takes back what ``extra_state`` gave, from the CPU."""
        ...


@dataclass(frozen=True)
class Schedule:
    """When the loop does what, in steps; 0 means never (the end always saves and evaluates)."""

    steps: int
    save_every: int
    evaluate_every: int
    log_every: int
    preview_every: int
