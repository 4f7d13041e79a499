"""What the stages before the head have in common: epochs over a data set, one model, one Adam."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from jean.train.engine.epochs import Epochs
from jean.train.engine.stage import Schedule


class EpochStage:
    """The half of a ``Stage`` that does not depend on what is learned.

    Args:
        model: what is learned.
        adam: its optimiser.
        epochs: batches of the data set.
        steps: how many there are; None: as many as ``count`` epochs have.
        count: epochs.
    """

    def __init__(
        self, model: torch.nn.Module, adam: torch.optim.Adam, epochs: Epochs, steps: int | None, count: int | None
    ):
        self.modules: dict[str, torch.nn.Module] = {"model": model}
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adam": adam}
        self.generator = torch.Generator().manual_seed(epochs.seed)
        self.epochs = epochs
        self.steps = steps or (count or 1) * epochs.steps

    def descend(self, loss: Tensor, step: int) -> dict[str, float]:
        """One step of Adam; returns what is logged of it."""
        self.optimisers["adam"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers["adam"].step()
        return {"loss": loss.item(), "epoch": step / self.epochs.steps}

    def schedule(self, previews: bool = False) -> Schedule:
        """Saves and evaluates ten times, logs two hundred times."""
        tenth = max(1, self.steps // 10)
        return Schedule(
            self.steps,
            save_every=tenth,
            evaluate_every=tenth,
            log_every=max(1, self.steps // 200),
            preview_every=tenth if previews else 0,
        )

    def preview(self, step: int, folder: Path) -> None:
        """No picture: ``jean inspect`` draws curves and embeddings."""

    def extra_state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_extra_state(self, tensors: dict[str, Tensor]) -> None:
        """Takes back nothing."""
