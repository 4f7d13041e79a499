"""Slow and fast parts of tracks."""

from __future__ import annotations

import numpy as np
import pytest

from jean.drivers.slow import held_offsets, parted_mouth, window_mean


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


def smiling_and_speaking(frames=500, fps=25):
    """A mean mouth, and its landmarks' movement: a smile after half of the time, and lips that open as in speech."""
    shape, times = np.zeros((68, 2)), np.arange(frames) / fps
    shape[48], shape[54], shape[65:68, 1] = [-2.5, 0.0], [2.5, 0.0], 0.3
    smile = np.zeros((68, 2))
    smile[48], smile[54] = [-0.4, -0.3], [0.4, -0.3]
    jaw = np.zeros((68, 2))
    jaw[65:68, 1], jaw[57, 1], jaw[8, 1], jaw[48, 0] = 1.0, 0.9, 0.7, 0.1  # opened lips draw a corner in
    smiles = (times > times[-1] / 2).astype(float)
    # syllables at 4 Hz, louder in some sentences than in others
    opening = (0.2 + 0.15 * np.sin(2 * np.pi * 4 * times)) * (1 + np.sin(2 * np.pi * 0.1 * times))
    moved = smiles[:, None, None] * smile + opening[:, None, None] * jaw
    return shape, moved, smiles, opening


def test_a_held_mouth_has_the_smile_and_not_the_opening():
    shape, moved, _, opening = smiling_and_speaking()
    moved[:, 20] = 1.0  # a brow
    held = held_offsets(moved, shape, 25)
    assert (held[:, 20] == 0).all()
    np.testing.assert_allclose(held[300:450, 54], np.tile([0.4, -0.3], (150, 1)), atol=0.02)
    np.testing.assert_allclose(held[50:200, 54], np.zeros((150, 2)), atol=0.02)
    slow_opening = parted_mouth(opening[:, None], 25)[1][:, 0]
    assert np.ptp(slow_opening) > 0.3  # the loudness of sentences is slow, too
    assert np.ptp(held[:, 65:68]) < 0.02 and np.ptp(held[:, 8]) < 0.02
    assert (held_offsets(moved, shape, 25, 0.0) == 0).all()


def test_a_mouth_that_hardly_opens_keeps_its_smile():
    shape, moved, smiles, _ = smiling_and_speaking()
    still = 0.002 * np.random.default_rng(0).normal(size=moved.shape)
    still[:, 54] += smiles[:, None] * [0.4, -0.3]
    held = held_offsets(still, shape, 25)
    np.testing.assert_allclose(held[300:450, 54], np.tile([0.4, -0.3], (150, 1)), atol=0.02)
