"""The check of sound against lips in ``prepare``."""

from __future__ import annotations

import numpy as np
import pytest

from jean.clips.clip import Clip
from jean.media import RATE_HZ, read_audio, write_wav
from jean.preparation.steps import extract_sound
from jean.preparation.sync_check import measure_sync, sync_warnings
from jean.progress import Silent
from jean.synthetic_speaker.speaker import build_speaker
from jean.synthetic_speaker.speaker_identity import sample_identity
from jean.synthetic_speaker.track_clips import write_track_clip
from jean.synthetic_speaker.video_corpus import CorpusItem

GOOD = {"lag_s": 0.04, "r": 0.7, "r_opening": 0.7, "r_width": 0.7, "chance_r": 0.2, "rank": 0.0}


@pytest.fixture(scope="module")
def speaker(tmp_path_factory):
    """Tracks of a synthetic speaker of four seconds, and its sound."""
    return track_clip(
        tmp_path_factory.mktemp("speaker") / "clip", 31, "the old women often buy cheap apple soup in this room"
    )


def track_clip(folder, person, text):
    item = CorpusItem(f"person{person}", person, "neutral", 1, 1, text, folder / "unused.mp4")
    return write_track_clip(folder, item, build_speaker(sample_identity(person)))


@pytest.mark.parametrize("late_s", [-0.3, 0.0, 0.24, 0.5])
def test_sound_that_is_late_or_early_is_found(speaker, tmp_path, late_s):
    clip = Clip.open(speaker, pictures=False)
    wave = read_audio(clip.sound())
    samples = round(late_s * RATE_HZ)
    moved = np.concatenate([np.zeros(samples), wave]) if samples >= 0 else wave[-samples:]
    write_wav(tmp_path / "moved.wav", moved, RATE_HZ)
    arrays = clip.arrays
    sync = measure_sync(tmp_path / "moved.wav", arrays["times_s"], arrays["landmarks"], Silent())["sync"]
    assert sync["lag_s"] == pytest.approx(late_s, abs=0.05)
    assert sync["r"] > 0.6 and sync["rank"] == 0
    assert bool(sync_warnings(sync)) == (late_s != 0)


def test_another_speakers_sound_does_not_belong_to_the_lips(speaker, tmp_path):
    other = track_clip(tmp_path / "other", 32, "you never move the old piano above the clouds")
    arrays = Clip.open(speaker, pictures=False).arrays
    sound = Clip.open(other, pictures=False).sound()
    sync = measure_sync(sound, arrays["times_s"], arrays["landmarks"], Silent())["sync"]
    assert sync["r"] < 0.5


def test_warnings_name_the_option_that_mends_it():
    assert sync_warnings(GOOD) == []
    assert sync_warnings({**GOOD, "lag_s": 0.12}) == []
    (late,) = sync_warnings({**GOOD, "lag_s": 0.46})
    assert "0.40 s late" in late and "--sound-offset 0.40" in late
    (early,) = sync_warnings({**GOOD, "lag_s": -0.34})
    assert "0.40 s early" in early and "--sound-offset -0.40" in early
    (unrelated,) = sync_warnings({**GOOD, "r": 0.25})
    assert "belong together" in unrelated


@pytest.mark.parametrize("late_s", [0.25, -0.25])
def test_the_sound_is_moved_by_the_offset(tmp_path, late_s):
    wave = np.zeros(RATE_HZ, np.float32)
    wave[RATE_HZ // 2] = 0.5
    write_wav(tmp_path / "a.wav", wave, RATE_HZ)
    extract_sound(tmp_path, tmp_path / "a.wav", late_s, Silent())
    moved = read_audio(tmp_path / "audio.wav")
    assert np.argmax(moved) == RATE_HZ // 2 - late_s * RATE_HZ
