"""Epochs over a data set as numbered steps, so that a run that is resumed draws what it would have drawn."""

from __future__ import annotations

import numpy as np


class Epochs:
    """Batches of indices: each epoch a new order of all, the last batch of an epoch may be smaller.

    The batch of a step depends on the seed and the step alone.

    Args:
        count: items in the data set.
        batch: items in a batch.
        seed: where the orders begin.
    """

    def __init__(self, count: int, batch: int, seed: int):
        self.count, self.batch, self.seed = count, min(batch, count), seed
        self._epoch, self._order = -1, np.zeros(0, int)

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-self.count // self.batch)

    def at(self, step: int) -> np.ndarray:
        """int [B]: the items of step ``step`` (from 0)."""
        epoch, place = divmod(step, self.steps)
        if epoch != self._epoch:
            self._order = np.random.default_rng([0xE9, self.seed, epoch]).permutation(self.count)
            self._epoch = epoch
        return self._order[place * self.batch : (place + 1) * self.batch]


def random_at(step: int, seed: int) -> np.random.Generator:
    """The generator of one step's other draws: depends on the seed and the step alone."""
    return np.random.default_rng([0x5E, seed, step])
