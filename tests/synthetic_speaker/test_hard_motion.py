"""The harder motion: what it adds, and that the plain corpus stays as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from jean.clips.clip import Clip
from jean.synthetic_speaker.controls import CONTROLS
from jean.synthetic_speaker.hard_motion import LANDMARK_NOISE_PX, burst_track, tracker_noise
from jean.synthetic_speaker.speaker import build_speaker
from jean.synthetic_speaker.track_clips import performance_of, write_track_clip
from jean.synthetic_speaker.video_corpus import plan_corpus


def items(emotion):
    (plain,) = plan_corpus(Path("x"), 1, 1, (emotion,), seed=3)
    return plain, replace(plain, hard=True)


def track(performance, name):
    return performance.motion.controls[:, CONTROLS.index(name)]


def test_emotions_articulate_differently_and_sound_pose_and_eyes_stay():
    for emotion, factor in (("sad", 0.65), ("angry", 1.3)):
        plain, hard = map(performance_of, items(emotion))
        jaw, harder = track(plain, "jaw_open"), track(hard, "jaw_open")
        open_ = (jaw > 0.1) & (harder < 0.99)
        ratio = (harder / np.maximum(jaw, 1e-9))[open_]
        expected = 1 + (factor - 1) * plain.motion.strength[open_]
        np.testing.assert_allclose(ratio, expected, atol=1e-6)
        assert np.array_equal(plain.wave, hard.wave) and np.array_equal(plain.motion.turn_rad, hard.motion.turn_rad)
        for name in ("blink_left", "gaze_x", "gaze_y"):
            assert np.array_equal(track(plain, name), track(hard, name))


def test_brows_follow_stress_and_expression_comes_in_bursts():
    plain, hard = map(performance_of, items("happy"))
    added = track(hard, "brow_outer_up") - track(plain, "brow_outer_up")
    assert np.corrcoef(added, track(plain, "jaw_open"))[0, 1] > 0.3
    burst = burst_track(np.arange(2500) / 25, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(burst - burst.mean())) ** 2
    hertz = np.fft.rfftfreq(2500, 1 / 25)
    assert power[(hertz > 0.5) & (hertz < 3.5)].sum() > 0.6 * power[hertz > 0.1].sum()
    smile = track(hard, "smile") - track(plain, "smile")
    assert smile.std() > 0.1 and np.abs(np.diff(smile)).max() > 0.03


def test_noise_has_the_size_of_a_trackers():
    landmarks = np.zeros((400, 68, 2))
    noise = tracker_noise(landmarks, 512, np.random.default_rng(0))
    assert 0.9 < noise.std() / (2 * LANDMARK_NOISE_PX) < 1.1


def test_a_hard_clip_says_so_and_a_plain_one_is_unchanged(tmp_path):
    plain, hard = items("happy")
    speaker = build_speaker(performance_of(plain).identity)
    clips = [
        Clip.open(write_track_clip(tmp_path / name, item, speaker), pictures=False)
        for name, item in (("a", plain), ("b", hard))
    ]
    assert clips[1].meta.synthetic.hard and "hard" not in clips[0].meta.to_json()["synthetic"]
    assert np.array_equal(clips[0].arrays["camera_to_world"], clips[1].arrays["camera_to_world"])
    assert np.abs(clips[0].arrays["landmarks"] - clips[1].arrays["landmarks"]).max() > 0.5
    # the same folder is written again for the other item
    assert Clip.open(write_track_clip(tmp_path / "a", hard, speaker), pictures=False).meta.synthetic.hard
