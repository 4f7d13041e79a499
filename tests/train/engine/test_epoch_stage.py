"""Batches of numbered steps."""

from __future__ import annotations

import numpy as np

from jean.train.engine.epoch_stage import Epochs, step_generator


def test_every_epoch_visits_all_items_once_in_a_new_order():
    epochs = Epochs(10, 4, seed=0)
    assert epochs.steps == 3
    first, second = (np.concatenate([epochs.at(3 * epoch + step) for step in range(3)]) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(10)) and list(first) != list(second)


def test_a_batch_depends_on_seed_and_step_alone():
    epochs = Epochs(10, 4, seed=0)
    for step in range(6):
        epochs.at(step)
    assert list(Epochs(10, 4, seed=0).at(4)) == list(epochs.at(4))
    assert list(Epochs(10, 4, seed=1).at(4)) != list(epochs.at(4))


def test_a_batch_is_not_larger_than_the_data_set():
    assert len(Epochs(3, 8, seed=0).at(0)) == 3


def test_the_generator_of_a_step_depends_on_seed_and_step_alone():
    draws = {(step, seed): step_generator(step, seed).random() for step in range(3) for seed in range(3)}
    assert len(set(draws.values())) == 9
    assert step_generator(2, 1).random() == draws[2, 1]
