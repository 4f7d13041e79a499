"""The person's style of lips, and the lip prior applied to it."""

from __future__ import annotations

import numpy as np
import pytest

from jean.drivers.lip_style import LipStyle
from jean.lips.prior import QUANTILES, LipTrack


def person(count=500, seed=0):
    """Opening and width [T, 2], cm, and lip coordinates that depend on them by a quadratic."""
    random = np.random.default_rng(seed)
    opening, width = random.gamma(2.0, 0.3, count), 5 + 0.4 * random.normal(size=count)
    coordinates = np.stack([2 * opening - 1, width - 5 + 0.2 * opening**2, opening * (width - 5)], 1)
    return np.stack([opening, width], 1), coordinates


def track(values, speaking=None, closing=None):
    values = np.asarray(values, float)
    speaking = np.ones(len(values), bool) if speaking is None else speaking
    closing = np.zeros(len(values)) if closing is None else closing
    return LipTrack(values, speaking, np.quantile(values, QUANTILES, axis=0).T, closing)


def speech(count=2000, seed=1):
    random = np.random.default_rng(seed)
    return np.stack([random.random(count) ** 2 - 4, random.normal(size=count)], 1)  # another unit and rest


def coordinates_of(style, *args, **options):
    return style.coordinates(style.lips(*args, **options))


def test_a_sound_moves_the_lips_over_the_persons_range():
    lips, coordinates = person()
    own = LipStyle.fit(lips, coordinates).retarget(track(speech())).values
    for k in (0, 1):
        np.testing.assert_allclose(np.quantile(own[:, k], QUANTILES), np.quantile(lips[:, k], QUANTILES), rtol=2e-2)


def test_the_map_is_monotone():
    style = LipStyle.fit(*person())
    values = speech()
    own = style.retarget(track(values)).values
    order = np.argsort(values[:, 0])
    assert (np.diff(own[order, 0]) >= 0).all()


def test_coordinates_are_those_of_the_person_at_the_same_lips():
    lips, coordinates = person()
    style = LipStyle.fit(lips, coordinates)
    values = speech()
    own = style.retarget(track(values)).values
    times_s = np.arange(len(values)) / 100
    expected = np.stack([2 * own[:, 0] - 1, own[:, 1] - 5 + 0.2 * own[:, 0] ** 2, own[:, 0] * (own[:, 1] - 5)], 1)
    np.testing.assert_allclose(coordinates_of(style, track(values), times_s), expected, atol=0.12)


def test_a_short_sound_keeps_its_place_in_general_speech():
    """Half a second of half-open lips must not be stretched over the whole range."""
    values = speech()
    general = track(values)
    middle = np.sort(values, 0)[900:950]
    short = LipTrack(middle, np.ones(50, bool), general.quantiles, np.zeros(50))
    lips, coordinates = person()
    own = LipStyle.fit(lips, coordinates).retarget(short).values[:, 0]
    low, high = np.quantile(lips[:, 0], [0.02, 0.98])
    assert np.ptp(own) < 0.3 * (high - low)


def test_articulation_scales_the_distance_to_rest():
    lips, coordinates = person()
    style = LipStyle.fit(lips, coordinates[:, :1])  # the first coordinate is linear in the opening
    times_s = np.arange(1000) / 100
    still, normal, strong = (coordinates_of(style, track(speech()), times_s, factor) for factor in (0.0, 1.0, 1.5))
    assert np.ptp(still) < 1e-9
    assert strong.std() == pytest.approx(1.5 * normal.std(), rel=0.1)


def test_a_closed_gate_closes_the_lips():
    lips, coordinates = person()
    style = LipStyle.fit(lips, coordinates)
    closed = coordinates_of(style, track(speech()), np.arange(100) / 100, gate=np.zeros(100))
    assert np.ptp(closed, axis=0).max() < 1e-9
    assert closed[0, 0] == pytest.approx(2 * np.quantile(lips[:, 0], 0.02) - 1, abs=0.15)


def test_only_frames_with_speech_decide_the_range():
    lips, coordinates = person()
    silence = np.tile([[0.0, 5.0]], (1500, 1))
    both = np.concatenate([lips, silence]), np.concatenate([coordinates, np.zeros((1500, 3))])
    style = LipStyle.fit(*both, np.arange(2000) < 500)
    np.testing.assert_allclose(style.quantiles, np.quantile(lips, QUANTILES, axis=0).T)


def test_a_style_is_stored_and_read():
    style = LipStyle.fit(*person())
    again = LipStyle.from_arrays(style.arrays())
    assert all(np.array_equal(getattr(style, name), getattr(again, name)) for name in ("quantiles", "coefficients"))


def test_p_b_and_m_close_the_lips_at_a_usual_width():
    lips, coordinates = person()
    style = LipStyle.fit(lips, coordinates)
    values, closing = speech(), np.zeros(2000)
    closing[100:104], closing[200:204] = 1.0, 0.5
    times_s = np.arange(2000) / 100
    free, closed = (style.lips(track(values, closing=c), times_s) for c in (None, closing))
    least, usual = np.quantile(lips[:, 0], 0.02), np.quantile(lips[:, 1], [0.25, 0.75])
    widths = np.clip(free[:, 1], *usual)
    assert (widths[100:104] != free[100:104, 1]).any()
    np.testing.assert_allclose(closed[100:104], np.column_stack([[least] * 4, widths[100:104]]), atol=1e-9)
    np.testing.assert_allclose(closed[201], (free[201] + [least, widths[201]]) / 2, atol=1e-9)
    np.testing.assert_allclose(closed[:100], free[:100])
    still = style.lips(track(values, closing=closing), times_s, articulation=0.0)
    assert np.ptp(still, axis=0).max() < 1e-9  # lips at rest stay there
