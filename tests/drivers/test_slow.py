"""Slow and fast parts of tracks."""

from __future__ import annotations

import numpy as np
import pytest

from jean.drivers.slow import parted_mouth, window_mean


def test_a_window_of_a_second_keeps_slow_motion_and_loses_syllables():
    times = np.arange(250) / 25
    slow, fast = np.sin(2 * np.pi * 0.15 * times), np.sin(2 * np.pi * 4 * times)
    mean = window_mean(np.stack([slow, fast], 1), 25, 1.0)[25:-25]
    assert np.abs(mean[:, 0] - slow[25:-25]).max() < 0.05 and np.abs(mean[:, 1]).max() < 0.05


def test_window_means_by_hand_and_at_the_ends():
    track = np.arange(10, dtype=np.float32)[:, None] ** 2
    mean = window_mean(track, 25, 0.2)  # five frames
    assert mean.dtype == np.float32 and mean[4, 0] == np.mean([4, 9, 16, 25, 36])
    assert mean[0, 0] == pytest.approx(np.mean([0, 1, 4])) and mean[9, 0] == pytest.approx(np.mean([49, 64, 81]))
    assert window_mean(track, 25, 0.0) is track
    assert np.array_equal(window_mean(track, 50, 0.1), mean)  # seconds, not frames


def test_spoken_and_held_are_the_whole_mouth():
    times = np.arange(500) / 25
    smile, speech = (times > 10).astype(float), 0.5 * np.sin(2 * np.pi * 4 * times)
    spoken, held = parted_mouth((smile + speech)[:, None], 25)
    np.testing.assert_allclose(spoken + held, (smile + speech)[:, None], atol=1e-12)
    assert np.abs(held[:200]).max() < 0.04 and np.abs(held[300:] - 1).max() < 0.04
    assert np.corrcoef(spoken[:, 0], speech)[0, 1] > 0.9
    assert (parted_mouth(smile[:, None], 25, 0.0)[1] == 0).all()
