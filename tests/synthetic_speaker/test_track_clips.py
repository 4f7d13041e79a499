"""Clips written from the ground truth, with and without frames."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from jean.clips.clip import Clip
from jean.drivers.person_frames import open_person
from jean.errors import InputError
from jean.synthetic_speaker.performance import draw_performance
from jean.synthetic_speaker.speaker import build_speaker
from jean.synthetic_speaker.speaker_identity import sample_identity
from jean.synthetic_speaker.track_clips import performance_of, write_track_clip
from jean.synthetic_speaker.video_corpus import plan_corpus

SIZE = 48


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    item = plan_corpus(folder, 1, 1, ("happy",))[0]
    speaker = build_speaker(sample_identity(item.identity_seed))
    return write_track_clip(folder / "clip", item, speaker, picture_px=SIZE), item, speaker


def test_stored_frames_equal_the_drawn_ones(drawn):
    folder, item, speaker = drawn
    clip = Clip.open(folder)
    for image, matte, frame in zip(
        clip.frames,
        clip.matte,
        itertools.islice(draw_performance(speaker, performance_of(item), SIZE), 3),
        strict=False,
    ):
        assert np.array_equal(image, frame.image) and np.array_equal(matte, frame.matte)


def test_background_equals_the_frame_outside_the_matte(drawn):
    clip = Clip.open(drawn[0])
    outside = np.asarray(clip.matte[0]).sum(-1) == 0
    assert outside.mean() > 0.2
    difference = np.asarray(clip.frames[0], int)[outside] - clip.background[outside]
    assert np.abs(difference).max() <= 1


def test_landmarks_are_inside_the_frame_and_training_reads_the_clip(drawn):
    data = open_person([drawn[0]])
    assert data.size_px == SIZE and data.matte(0).shape == (SIZE, SIZE, 2)
    assert (data.landmarks > 0).all() and (data.landmarks < SIZE).all()
    eyes = data.landmarks[:, 36:48].mean(1)
    assert (data.landmarks[:, 8, 1] > eyes[:, 1]).all()  # the chin is below


def test_a_complete_clip_is_kept_and_one_of_another_size_is_replaced(drawn, tmp_path):
    folder, item, speaker = drawn
    before = (folder / "clip.json").stat().st_mtime_ns
    write_track_clip(folder, item, speaker, picture_px=SIZE)
    assert (folder / "clip.json").stat().st_mtime_ns == before
    tracks_only = write_track_clip(tmp_path / "tracks_only", item, speaker)
    with pytest.raises(InputError, match="without pictures"):
        Clip.open(tracks_only)
    write_track_clip(tracks_only, item, speaker, picture_px=32)
    assert Clip.open(tracks_only).size_px == 32
