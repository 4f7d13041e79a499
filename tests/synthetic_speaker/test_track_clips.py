"""Clips written from the truth: with pictures they look like the speaker, without they are refused where needed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from jean.clips.clip import Clip
from jean.drivers.person_frames import PersonFrames
from jean.errors import InputError
from jean.synthetic_speaker.corpus import plan_corpus
from jean.synthetic_speaker.identity import identity
from jean.synthetic_speaker.performance import pictures
from jean.synthetic_speaker.speaker import build_speaker
from jean.synthetic_speaker.track_clips import performance_of, write_track_clip

SIZE = 48


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    item = plan_corpus(folder, 1, 1, ("happy",))[0]
    speaker = build_speaker(identity(item.identity_seed))
    return write_track_clip(folder / "clip", item, speaker, picture_px=SIZE), item, speaker


def test_frames_are_the_speakers(drawn):
    folder, item, speaker = drawn
    clip = Clip.open(folder)
    for seen, matte, true in zip(
        clip.frames, clip.matte, itertools.islice(pictures(speaker, performance_of(item), SIZE), 3), strict=False
    ):
        assert np.array_equal(seen, true.image) and np.array_equal(matte, true.matte)


def test_the_plate_is_what_is_seen_beside_the_person(drawn):
    clip = Clip.open(drawn[0])
    outside = np.asarray(clip.matte[0]).sum(-1) == 0
    assert outside.mean() > 0.2
    difference = np.asarray(clip.frames[0], int)[outside] - clip.background[outside]
    assert np.abs(difference).max() <= 1


def test_landmarks_lie_in_the_picture_and_a_trainer_reads_it(drawn):
    data = PersonFrames([Clip.open(drawn[0])])
    assert data.size_px == SIZE and data.matte(0).shape == (SIZE, SIZE, 2)
    assert (data.landmarks > 0).all() and (data.landmarks < SIZE).all()
    eyes = data.landmarks[:, 36:48].mean(1)
    assert (data.landmarks[:, 8, 1] > eyes[:, 1]).all()  # the chin is below


def test_a_whole_clip_is_kept_and_another_size_is_not(drawn, tmp_path):
    folder, item, speaker = drawn
    before = (folder / "clip.json").stat().st_mtime_ns
    write_track_clip(folder, item, speaker, picture_px=SIZE)
    assert (folder / "clip.json").stat().st_mtime_ns == before
    bare = write_track_clip(tmp_path / "bare", item, speaker)
    with pytest.raises(InputError, match="without pictures"):
        Clip.open(bare)
    write_track_clip(bare, item, speaker, picture_px=32)
    assert Clip.open(bare).size_px == 32
