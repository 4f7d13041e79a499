"""Exchange of expression vectors within an emotion, and their dropout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from jean.drivers.person_frames import open_person
from jean.drivers.tracks import DriverTracks
from jean.train.nerf.config import NerfConfig
from jean.train.nerf.exchange import NEAR_S, ExpressionExchange, same_emotion
from jean.train.nerf.presets import resolve
from tests.helpers.tiny_clip import make_clip
from tests.helpers.tiny_corpus import make_corpus

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def person(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    make_corpus(folder, people=1, sentences=2, emotions=("happy", "sad"), frames=20, size=20)
    return open_person([folder / "p0"])


def members(groups, frame):
    order, first, count = groups
    return order[first[frame] : first[frame] + count[frame]]


def test_frames_are_grouped_by_emotion_and_only_training_frames_lend(person):
    groups = same_emotion(person)
    for frame in (0, 25, 45, 79):
        found = members(groups, frame)
        emotion = person.clips[person.clip_of[frame]].folder.name.split("_")[0]
        assert {person.clips[k].folder.name.split("_")[0] for k in person.clip_of[found]} == {emotion}
        assert set(found) <= set(person.train) and len(found) == 36  # two clips less their held-out tenth


def test_without_an_emotion_frames_near_in_time_are_exchanged(tmp_path):
    data = open_person([make_clip(tmp_path / "a", frames=150, size=20)])
    found = members(same_emotion(data), 70)
    assert found.min() == 70 - NEAR_S * 25 and found.max() == 70 + NEAR_S * 25
    assert members(same_emotion(data), 149).tolist() == [0]  # held out: never drawn, and points somewhere valid


def test_fractions_of_exchanged_and_dropped_vectors(person):
    config = resolve(NerfConfig(expression_exchange=0.5, expression_dropout=0.2))
    exchange = ExpressionExchange(person, config, CPU)
    vectors = torch.arange(len(person.clip_of), dtype=torch.float32)[:, None] + 1
    indices = torch.from_numpy(np.random.default_rng(0).choice(person.train, 4000))
    tracks = replace(DriverTracks.of_person(person), expression=vectors)
    generator = torch.Generator().manual_seed(0)
    shown = exchange.apply(tracks.frames(indices), indices, vectors, torch.zeros(1), generator).expression[:, 0]
    own = shown == vectors[indices, 0]
    assert abs((shown == 0).float().mean() - 0.2) < 0.03
    assert abs(own.float().mean() - 0.8 * (0.5 + 0.5 / 36)) < 0.03
    lent = shown[~own & (shown > 0)].long() - 1
    at = indices[~own & (shown > 0)]
    emotions = np.array([clip.folder.name.split("_")[0] for clip in person.clips])[person.clip_of]
    assert (emotions[lent] == emotions[at]).all() and set(lent.tolist()) <= set(person.train)
