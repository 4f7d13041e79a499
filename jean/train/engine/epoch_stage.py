"""Bases of stages that take gradient steps: any networks, or one model with Adam in epochs over a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jean.train.engine import ranks
from jean.train.engine.epoch_config import EpochConfig
from jean.train.engine.stage import Schedule


class Epochs:
    """Batches of item indices, numbered by optimisation step.

    Every epoch visits all items once, in a new random order; its last batch may be smaller. The batch of a step
    depends on the seed and the step alone, so a resumed run sees the same batches as an uninterrupted one.

    Args:
        count: items in the data set.
        batch: items per batch.
        seed: of the random orders.
    """

    def __init__(self, count: int, batch: int, seed: int):
        self.count, self.batch, self.seed = count, min(batch, count), seed
        self._epoch, self._order = -1, np.zeros(0, int)

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return -(-self.count // self.batch)

    def at(self, step: int) -> np.ndarray:
        """Item indices of optimisation step ``step`` (from 0), int [B]."""
        epoch, position = divmod(step, self.steps)
        if epoch != self._epoch:
            self._order = np.random.default_rng([0xE9, self.seed, epoch]).permutation(self.count)
            self._epoch = epoch
        return self._order[position * self.batch : (position + 1) * self.batch]


def step_generator(step: int, seed: int, own: bool = False) -> np.random.Generator:
    """Random generator for the other draws of one optimisation step; it depends on the seed and the step alone.

    Args:
        step: number of the step, from 0.
        seed: of the run.
        own: whether each rank draws its own numbers; otherwise all ranks draw the same.
    """
    return np.random.default_rng([0x5E, seed, step, *([ranks.index()] if own and not ranks.is_first() else [])])


class GradientStage:
    """A ``Stage`` without its loss: networks, optimisers and schedule.

    A subclass adds ``name``, ``step`` and ``evaluate``.

    Args:
        modules: the networks, by the names of their state in a checkpoint.
        optimisers: by name.
        steps: optimisation steps in all.
        seed: of the random draws.
    """

    def __init__(
        self,
        modules: dict[str, torch.nn.Module],
        optimisers: dict[str, torch.optim.Optimizer],
        steps: int,
        seed: int,
    ):
        self.modules, self.optimisers, self.steps = modules, optimisers, steps
        self.generator = torch.Generator().manual_seed(seed)

    def take_step(self, loss: Tensor, optimiser: str = "adam", largest_norm: float | None = None) -> float:
        """Takes one step of an optimiser on ``loss``, that of this rank's items, and returns the loss.

        Args:
            loss: scalar.
            optimiser: its name.
            largest_norm: to which longer gradients are shortened; None for no limit.
        """
        chosen = self.optimisers[optimiser]
        chosen.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        ranks.average_gradients(chosen)
        if largest_norm is not None:
            parameters = [parameter for group in chosen.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, largest_norm)
        chosen.step()
        return loss.item()

    def schedule(self, previews: bool = False) -> Schedule:
        """Saves and evaluates ten times, logs two hundred times.

        Args:
            previews: whether the stage draws previews, also ten times.
        """
        tenth = max(1, self.steps // 10)
        return Schedule(
            self.steps,
            save_every=tenth,
            evaluate_every=tenth,
            log_every=max(1, self.steps // 200),
            preview_every=tenth if previews else 0,
        )

    def preview(self, step: int, folder: Path) -> None:
        """Draws nothing. ``jean inspect`` draws curves and embeddings of a run."""

    def extra_state(self) -> dict[str, Tensor]:
        """No state beside networks, optimisers and random generators."""
        return {}

    def load_extra_state(self, tensors: dict[str, Tensor]) -> None:
        """Restores nothing, see ``extra_state``."""


class EpochStage(GradientStage):
    """A ``Stage`` without its loss, for one model, one Adam and epochs over a data set.

    Args:
        model: the trained network.
        adam: its optimiser.
        items: items in the training set.
        config: batch size, length and seed.
    """

    def __init__(self, model: torch.nn.Module, adam: torch.optim.Adam, items: int, config: EpochConfig):
        self.epochs = Epochs(items, config.batch, config.seed)
        super().__init__({"model": model}, {"adam": adam}, config.total_steps(self.epochs.steps), config.seed)

    def descend(self, loss: Tensor, step: int) -> dict[str, float]:
        """Takes one Adam step on ``loss`` and returns the scalars to log."""
        return {"loss": self.take_step(loss), "epoch": step / self.epochs.steps}
