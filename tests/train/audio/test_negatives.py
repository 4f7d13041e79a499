"""Negatives are audio of the same person at another moment."""

from __future__ import annotations

import numpy as np
import pytest

from jean.clips.corpus import find_clips
from jean.drivers.face_frames import load_frames
from jean.train.audio.negatives import negative_mask, people_with_one_clip, sample_negatives

MIN_DISTANCE_FRAMES = 7.5  # 0.3 s at 25 fps


@pytest.fixture(scope="module")
def frames(two_people):
    return load_frames(find_clips([two_people]), "head", sound=True)


def test_negatives_come_from_all_other_clips_of_the_same_person(frames):
    person = np.array([clip.person for clip in frames.clips])[frames.clip]
    anchors = np.arange(len(frames))
    negatives = sample_negatives(frames, anchors, 3, False, np.random.default_rng(0))
    assert (person[negatives] == person[anchors][:, None]).all()
    assert (frames.clip[negatives] != frames.clip[anchors][:, None]).all()
    clip_pairs = {
        (int(frames.clip[anchor]), int(frames.clip[other]))
        for anchor, row in zip(anchors, negatives, strict=True)
        for other in row
    }
    assert len(clip_pairs) == 2 * 4 * 3  # people, clips, other clips


def test_negatives_of_the_own_clip_keep_the_minimum_distance(frames):
    anchors = np.arange(len(frames))
    negatives = sample_negatives(frames, anchors, 3, True, np.random.default_rng(0))
    same_clip = frames.clip[negatives] == frames.clip[anchors][:, None]
    distance = np.abs(frames.frame[negatives] - frames.frame[anchors][:, None])
    assert same_clip.any() and (distance[same_clip] >= MIN_DISTANCE_FRAMES).all()


def test_a_person_with_one_clip_gets_negatives_from_that_clip(frames, two_people):
    single = load_frames(find_clips([two_people])[:1], "head", sound=True)
    negatives = sample_negatives(single, np.arange(40), 2, False, np.random.default_rng(0))
    assert (np.abs(negatives - np.arange(40)[:, None]) >= MIN_DISTANCE_FRAMES).all()
    assert people_with_one_clip(single) == 1 and people_with_one_clip(frames) == 0


def test_the_mask_of_a_batch_keeps_the_minimum_distance(frames):
    mask = negative_mask(frames, np.arange(100))
    assert not mask.diagonal().any() and mask[0, 50] and mask[0, 8] and not mask[0, 7]
