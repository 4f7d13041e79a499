"""Negatives are audio of the same person at another moment."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from jean.clips.corpus import CorpusClip, find_clips
from jean.drivers.face_frames import FaceFrames, load_frames
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


def index_of(clips: int, people: int, frames_per_clip: int = 2) -> FaceFrames:
    """An index of many clips, without the content of any."""
    described = tuple(CorpusClip(Path(f"c{i:06d}"), f"c{i:06d}", f"p{i * people // clips:03d}") for i in range(clips))
    return FaceFrames(
        np.zeros((clips * frames_per_clip, 51, 2), np.float32),
        np.repeat(np.arange(clips), frames_per_clip),
        np.tile(np.arange(frames_per_clip), clips),
        np.arange(clips) * frames_per_clip,
        np.full(clips, frames_per_clip),
        described,
        25.0,
        {},
    )


def test_the_frames_of_a_person_are_found_for_every_clip():
    index = index_of(clips=7, people=3)  # clips 0-2, 3-4, 5-6
    assert index.person.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert index.person_spans.tolist() == [[0, 6, 3]] * 3 + [[6, 10, 2]] * 2 + [[10, 14, 2]] * 2


def test_drawing_negatives_does_not_take_longer_with_more_clips():
    def seconds(index):
        anchors = np.random.default_rng(0).integers(0, len(index), 256)
        best = np.inf
        for _ in range(5):
            started = time.perf_counter()
            negatives = sample_negatives(index, anchors, 1, False, np.random.default_rng(1))
            negative_mask(index, anchors)
            best = min(best, time.perf_counter() - started)
        assert (index.clip[negatives[:, 0]] != index.clip[anchors]).all()
        return best

    # 3 ms for both; with work for every clip in every step the second takes minutes
    assert seconds(index_of(30_000, 48)) < 10 * seconds(index_of(300, 6))


def test_the_mask_of_a_batch_keeps_the_minimum_distance(frames):
    mask = negative_mask(frames, np.arange(100))
    assert not mask.diagonal().any() and mask[0, 50] and mask[0, 8] and not mask[0, 7]
