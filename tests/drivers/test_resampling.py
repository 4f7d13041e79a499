"""Resampling of sources of any length and frame rate."""

from __future__ import annotations

import numpy as np

from jean.drivers.resampling import interpolate_rows, source_positions


def test_a_short_source_is_mirrored():
    positions = source_positions((np.arange(9) + 0.5) / 10, 10.0, 4, "mirror")
    assert np.allclose(positions, [0, 1, 2, 3, 2, 1, 0, 1, 2])


def test_a_short_source_may_hold_its_last_frame():
    assert np.allclose(source_positions((np.arange(6) + 0.5) / 10, 10.0, 4, "hold"), [0, 1, 2, 3, 3, 3])
    assert np.allclose(source_positions(np.arange(3) / 10, 10.0, 1, "mirror"), 0)


def test_sources_are_resampled_by_time():
    rows = np.arange(20.0)[:, None]
    at_half_the_rate = source_positions((np.arange(8) + 0.5) / 12.5, 25.0, 20, "hold")
    assert np.allclose(interpolate_rows(rows, at_half_the_rate)[:, 0], np.arange(8) * 2 + 0.5)
    assert np.allclose(interpolate_rows(rows, np.array([2.25, 18.5]))[:, 0], [2.25, 18.5])
