"""Blinks as a renewal process: fitting, sampling, inputs."""

from __future__ import annotations

import numpy as np
import pytest

from jean.drivers.blinks import BEFORE_S, BlinkModel, blink_curve, blink_inputs, logistic, since_last
from jean.drivers.motion_sound import FPS, LOUDNESS, SPEAKING
from jean.drivers.motion_sound import WIDTH as SOUND_WIDTH
from jean.drivers.motion_vector import CUES, LID, WIDTH

COUNT = 20_000


def inputs_with_pauses(count=COUNT):
    """Inputs of a sound in which pauses and speech take turns, without emotion."""
    sound = np.zeros((count, SOUND_WIDTH))
    sound[:, SPEAKING] = (np.arange(count) // 50) % 2
    return blink_inputs(sound, np.zeros((count, WIDTH)), np.zeros((count, 0)))


def model(rate=0.02, pause=0.0):
    """A process with a constant hazard in speech, and another in pauses."""
    hazard = np.zeros(9)
    hazard[:2] = np.log(rate / (1 - rate)), pause
    return BlinkModel(hazard, np.array([np.log(0.25)]), np.array([0.05]))


def test_blinks_follow_the_hazard():
    onsets, lengths_s = model().sample(inputs_with_pauses(), np.random.default_rng(0))
    assert lengths_s == pytest.approx(0.25, rel=0.25)  # standard deviation of the logarithm: 0.05
    # a mean wait of 1 / 0.02 frames after 0.25 + 0.2 s in which no blink begins
    assert len(onsets) == pytest.approx(COUNT / (50 + 0.45 * FPS), rel=0.1)
    assert np.diff(onsets).min() > 0.35 * FPS


def test_the_fit_finds_the_process_that_made_the_blinks():
    inputs, true = inputs_with_pauses(), model(pause=1.5)
    onsets, lengths_s = true.sample(inputs, np.random.default_rng(1))
    fitted = BlinkModel.fit([inputs], [onsets], [lengths_s])
    assert fitted.hazard[1] == pytest.approx(1.5, abs=0.35)
    assert np.exp(fitted.length[0]) == pytest.approx(0.25, rel=0.05)
    again = fitted.sample(inputs, np.random.default_rng(2))[0]
    assert len(again) == pytest.approx(len(onsets), rel=0.12)
    in_pauses = np.mean((again // 50) % 2 == 0)
    assert in_pauses == pytest.approx(np.mean((onsets // 50) % 2 == 0), abs=0.06)


def test_without_blinks_the_process_makes_hardly_any():
    inputs = inputs_with_pauses(2000)
    fitted = BlinkModel.fit([inputs], [np.zeros(0, int)], [np.zeros(0)])
    assert len(fitted.sample(inputs, np.random.default_rng(0))[0]) <= 2
    assert np.isfinite(fitted.hazard).all() and fitted.length_std[0] > 0


def test_the_inputs_are_what_their_names_say():
    sound, vectors = np.zeros((8, SOUND_WIDTH)), np.zeros((8, WIDTH))
    sound[:, SPEAKING], sound[:, LOUDNESS] = 0.75, 0.5
    vectors[3:, CUES["eyes"].start] = 1.5
    vectors[:, LID] = 3.0
    inputs = blink_inputs(sound, vectors, np.full((8, 2), 0.7))
    assert inputs[0].tolist() == [1, 0.25, 0.5, 0, 0, 3, 0.7, 0.7]
    assert inputs[:, 3].tolist() == [0, 0, 0, 1.5, 1.5, 1.5, 1.5, 0]
    assert inputs[:, 4].tolist() == [0, 0, 0, 1, 1, 1, 1, 0]


def test_the_time_since_the_last_blink():
    since_s, free = since_last(np.array([5, 20]), np.array([0.2, 0.2]), 40)
    assert since_s[0] == BEFORE_S and since_s[5] == pytest.approx(BEFORE_S + 0.2)
    assert (
        since_s[6] == pytest.approx(0.04) and since_s[20] == pytest.approx(0.6) and since_s[21] == pytest.approx(0.04)
    )
    assert free[5] and not free[6] and free[16]
    nothing = since_last(np.zeros(0, int), np.zeros(0), 3)
    assert nothing[1].all() and nothing[0].tolist() == pytest.approx([2.0, 2.04, 2.08])


def test_logistic_regression_of_two_groups():
    inputs = np.stack([np.ones(4000), np.arange(4000) % 2], 1)
    targets = np.where(np.arange(4000) % 2, np.arange(4000) % 4 == 1, np.arange(4000) % 8 == 0).astype(float)
    weights = logistic(inputs, targets)
    chances = 1 / (1 + np.exp(-inputs[:2] @ weights))
    assert chances == pytest.approx([0.25, 0.5], abs=0.02)


def test_a_blink_at_the_end_is_cut():
    curve = blink_curve(5, np.array([3]), np.array([0.4]))
    assert curve[:3].tolist() == [0, 0, 0] and curve[4] > 0.5
