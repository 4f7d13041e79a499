"""Metrics of tracks: lips, upper face, head, gaze, by hand; and that evaluate takes clips without pictures."""

from __future__ import annotations

import numpy as np
import pytest

from jean.evaluation.config import EvaluateConfig
from jean.evaluation.evaluate import evaluate
from jean.metrics.aligned import aligned_cm
from jean.metrics.gaze_use import gaze_use
from jean.metrics.head_motion import beat_alignment, nod_at_beats_deg, speech_beats
from jean.metrics.lip_motion import lip_vertex_error
from jean.metrics.upper_motion import dynamics_deviation
from tests.helpers.tiny_clip import make_clip
from tests.helpers.tiny_motion import write_motion_clip


def test_alignment_removes_roll_place_and_size():
    random = np.random.default_rng(0)
    face = random.uniform(0, 100, (1, 68, 2))
    angle, scale = 0.4, 3.0
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert np.allclose(aligned_cm(face @ turn.T + [5, 7]), aligned_cm(face))


def test_lip_vertex_error_takes_the_worst_point_of_each_frame():
    reference = np.zeros((2, 3, 2))
    moved = reference.copy()
    moved[0, 0], moved[0, 2], moved[1, 1] = (1, 0), (0, 2), (1, 1)
    assert lip_vertex_error(moved, reference) == pytest.approx((4 + 2) / 2)


def test_dynamics_deviation_is_positive_where_the_result_moves_too_little():
    moving = np.zeros((4, 1, 2))
    moving[:, 0, 0] = [0, 2, 0, -2]  # squared distances 0, 4, 0, 4: standard deviation 2
    assert dynamics_deviation(np.zeros((4, 1, 2)), moving) == pytest.approx(2.0)
    assert dynamics_deviation(2 * moving, moving) == pytest.approx(2.0 - 8.0)


def test_beats_are_the_loud_moments():
    seconds = np.arange(4 * 16000) / 16000
    bursts = np.exp(-(((seconds % 1.0) - 0.5) ** 2) / 0.005)
    wave = (0.3 * bursts * np.sin(2 * np.pi * 150 * seconds)).astype(np.float32)
    assert speech_beats(wave, 100) == pytest.approx([12, 37, 62, 87], abs=1)


def test_a_head_that_rests_at_the_beats_is_aligned_and_one_between_them_is_not():
    frames = np.arange(200)
    turn = np.stack([np.cos(2 * np.pi * frames / 40), 0 * frames, 0 * frames], 1)  # rests every 20 frames
    at = np.arange(20, 181, 20)
    assert beat_alignment(turn, at) > 0.95
    assert beat_alignment(turn, at[:-1] + 10) == pytest.approx(np.exp(-(0.4**2) / 0.02), abs=0.01)
    assert np.isnan(beat_alignment(turn, np.array([], int)))


def test_nods_are_measured_just_after_the_beats():
    pitch = np.zeros(100)
    for beat in (30, 60):
        pitch[beat : beat + 6] = np.radians(3.0)
    nod = nod_at_beats_deg(pitch, np.array([30, 60]))
    assert nod == pytest.approx(3.0 * (1 - 2 / 8), abs=1e-6)  # 2 of the 8 frames beside the nod are lowered
    sway = pitch + np.radians(0.7) * np.arange(100)  # per frame
    assert nod_at_beats_deg(sway, np.array([30, 60])) == pytest.approx(nod, abs=1e-6)
    assert np.isnan(nod_at_beats_deg(pitch, np.array([3])))


def test_gaze_that_never_leaves_the_viewer():
    share, fixation_s, shifts = gaze_use(np.zeros((50, 2)), 25.0)
    assert (share, fixation_s, shifts) == (1.0, 2.0, 0.0)


def test_clips_without_pictures_are_evaluated(tmp_path):
    first = write_motion_clip(tmp_path / "a" / "sad_001", "sad", 1)
    write_motion_clip(tmp_path / "b" / "sad_001", "sad", 2)
    config = EvaluateConfig(reference=first.parent, ground_truth=True, resamples=0)
    values = {}
    for name in "ab":
        table = evaluate([tmp_path / name], config)
        values[name] = table["rows"][0]["values"]
        assert any("image needs pictures" in note for note in table["rows"][0]["notes"])
        assert not table["failed"] and "sync" not in table["rows"][0]["values"]
    same, other = values["a"], values["b"]
    assert same["lve_cm2"] == pytest.approx(0, abs=1e-9) and other["lve_cm2"] > 1e-4
    assert same["mouth_r2"] == pytest.approx(1) and same["fdd_cm2"] == pytest.approx(0, abs=1e-9)
    assert same["pose_error_deg"] == pytest.approx(0, abs=1e-5)
    assert same["pose_sd_deg"] == pytest.approx(same["pose_sd_deg_reference"])
    assert same["beat_align"] == pytest.approx(same["beat_align_reference"])
    assert same["blinks_per_min"] > 0 and same["blinks_per_min"] == other["blinks_per_min_reference"]
    assert same["direct_gaze_share"] == same["direct_gaze_share_reference"]


def test_a_clip_with_pictures_against_one_without(tmp_path):
    clip = make_clip(tmp_path / "seen" / "x", frames=30)
    tracks = write_motion_clip(tmp_path / "tracks" / "x", "sad", 1, frames=30)
    config = EvaluateConfig(reference=clip.parent, tracker="reference", metrics=("image", "pose"), resamples=0)
    row = evaluate([tracks.parent], config)["rows"][0]
    assert "image needs pictures, which a clip of tracks does not have." in row["notes"]
