"""Finding the lag between sound and lips."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from jean.lips.sync import at_rows, find_sync


def lips_over_time(seconds=5.0, seed=0):
    """Opening and width [N, 2] at 100 rows per second that move as fast as lips do."""
    noise = np.random.default_rng(seed).normal(size=(int(seconds * 100), 2))
    return gaussian_filter1d(noise, 5.0, axis=0)


@pytest.mark.parametrize("lag_s", [-0.4, -0.04, 0.0, 0.1, 0.6])
def test_a_planted_lag_is_found(lag_s):
    predicted = lips_over_time(8.0)
    times_s = np.arange(25 * 5) / 25 + 1.0
    rows_s = np.arange(len(predicted)) / 100
    lips = np.stack([np.interp(times_s + lag_s, rows_s, column) for column in predicted.T], 1)  # the sound comes later
    sync = find_sync(predicted, times_s, 3 * lips + 1)
    assert sync is not None
    assert sync.lag_s == pytest.approx(lag_s, abs=0.021)
    assert sync.r > 0.95 and sync.rank == 0 and sync.chance_r < 0.6


def test_unrelated_lips_agree_no_better_than_chance():
    syncs = [
        find_sync(lips_over_time(seed=n), np.arange(125) / 25, lips_over_time(seed=n + 100)[::4]) for n in range(20)
    ]
    assert np.mean([sync.r - sync.chance_r for sync in syncs]) < 0.35
    within = [
        find_sync(lips_over_time(seed=n), np.arange(125) / 25, lips_over_time(seed=n + 100)[::4], around_s=0.12)
        for n in range(20)
    ]
    assert np.mean([sync.rank for sync in within]) == pytest.approx(0.5, abs=0.25)


def test_frames_without_a_face_are_bridged():
    predicted = lips_over_time()
    times_s = np.arange(125) / 25
    lips = predicted[::4].copy()
    lips[40:44] = np.nan
    sync = find_sync(predicted, times_s, lips)
    assert sync is not None and abs(sync.lag_s) < 0.021 and sync.r > 0.9


@pytest.mark.parametrize("lips", [np.full((125, 2), np.nan), np.ones((125, 2)), lips_over_time(0.6)[::4]])
def test_nothing_is_found_without_a_second_of_moving_lips(lips):
    assert find_sync(lips_over_time(), np.arange(len(lips)) / 25, lips) is None


def test_lips_at_rows_begin_at_zero():
    rows = at_rows(np.array([0.5, 1.0, 1.6, *np.arange(1.7, 4, 0.1)]), np.ones((26, 2)))
    assert rows is not None and len(rows) == 391
