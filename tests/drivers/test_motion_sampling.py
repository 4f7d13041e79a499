"""Sampling of the motion model: seeds, given cues, beginnings, blinks, guidance."""

from __future__ import annotations

import numpy as np
import pytest

from jean.drivers.motion_sampling import (
    NEW,
    Conditions,
    EmotionTrack,
    mean_emotion,
    sample_lips,
    sample_motion,
)
from jean.drivers.motion_sound import WIDTH as SOUND_WIDTH
from jean.drivers.motion_vector import CUES, WIDTH
from tests.helpers.tiny_motion import random_network

COUNT = 130


@pytest.fixture(scope="module", params=["flow", "recurrent"])
def network(request):
    return random_network(kind=request.param)


@pytest.fixture(scope="module")
def sound():
    return np.random.default_rng(1).standard_normal((COUNT, SOUND_WIDTH)).astype(np.float32)


def emotion(count=COUNT, happy=0.0, sad=0.0):
    return EmotionTrack.of_strengths(np.tile([happy, sad], (count, 1)))


def test_the_same_seed_gives_the_same_motion_and_another_another(network, sound):
    first, again, other = (sample_motion(network, Conditions(sound, emotion(), seed)) for seed in (3, 3, 4))
    for name in ("vectors", "lips", "closure", "onsets"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert np.abs(first.vectors - other.vectors).mean() > 0.1
    assert np.array_equal(first.lips, other.lips)  # lips have one right value
    assert first.vectors.shape == (COUNT, WIDTH) and first.closure.min() >= 0 and first.closure.max() <= 1


def test_a_longer_sound_begins_alike(network, sound):
    # the last window sees the end of the sound, and the smoothing its neighbours: the frames before are equal
    short = sample_motion(network, Conditions(sound[:120], emotion(120), 3))
    whole = sample_motion(network, Conditions(sound, emotion(), 3))
    assert np.allclose(short.vectors[: NEW - 5], whole.vectors[: NEW - 5], atol=1e-5)


@pytest.mark.parametrize("cue", list(CUES))
def test_given_cues_come_back_exactly_and_change_the_others(network, sound, cue):
    width = CUES[cue].stop - CUES[cue].start
    given = np.random.default_rng(2).standard_normal((COUNT, width)).astype(np.float32)
    free = sample_motion(network, Conditions(sound, emotion(), 3))
    held = sample_motion(network, Conditions(sound, emotion(), 3, {cue: given}))
    assert np.array_equal(held.vectors[:, CUES[cue]], given)
    rest = np.setdiff1d(np.arange(WIDTH), np.arange(WIDTH)[CUES[cue]])
    assert np.abs(held.vectors[:, rest] - free.vectors[:, rest]).max() > 1e-3


def test_strengths_beyond_one_become_guidance():
    track = EmotionTrack.of_strengths(np.array([[0.0, 0.5], [0.0, 1.6], [1.0, 1.0]]))
    assert track.guidance.tolist() == [1.0, 1.6, 2.0]
    assert track.weights.tolist() == [[0.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]


def test_guidance_exaggerates_what_the_emotion_changes(network, sound):
    plain = sample_motion(network, Conditions(sound, emotion(sad=1.0), 3)).vectors
    strong = sample_motion(network, Conditions(sound, emotion(sad=2.0), 3)).vectors
    assert np.abs(strong - plain).max() > 1e-3 and np.isfinite(strong).all()


def test_the_voice_is_judged_by_its_weighted_frames(network, sound):
    posterior, strength = mean_emotion(network, sound, np.ones(COUNT))
    assert posterior.sum() == pytest.approx(1.0) and 0 <= strength <= 1
    nothing, none = mean_emotion(network, sound, np.zeros(COUNT))
    assert nothing.tolist() == [1.0, 0.0, 0.0] and none == 0.0


def test_lips_alone_are_those_of_the_whole(network, sound):
    whole = sample_motion(network, Conditions(sound, emotion(happy=0.5)))
    assert np.allclose(sample_lips(network, sound, emotion(happy=0.5)), whole.lips)
