"""Lip metrics without downloads: against the lip prior, and against a recording of the speaker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from jean.features.base import Face
from jean.media import RATE_HZ, write_wav
from jean.metrics.base import FramePair, MetricContext, Sound, TrackedFrame
from jean.metrics.lip_sync.prior_sync import LipAgreement, PriorSync
from jean.synthetic_speaker.performance import ground_truth, perform
from jean.synthetic_speaker.speaker import build_speaker
from jean.synthetic_speaker.speaker_identity import sample_identity

IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def speaker():
    """Landmarks [T, 68, 2] and sound of a synthetic speaker, 5 s."""
    identity = sample_identity(77)
    performance = perform(identity, "neutral", 1.0, seconds=5.0, seed=3)
    truth, _ = ground_truth(build_speaker(identity).rig, performance, 128)
    return truth["landmarks"], performance.wave


def frame(landmarks):
    return TrackedFrame(IMAGE, Face(landmarks, landmarks, np.full((2, 2), np.nan), np.zeros(0), None, 1.0))


def context(sounds=(), tracker="mediapipe"):
    return MetricContext(25.0, Path("a.mp4"), Path("b.mp4"), False, tracker, sounds=tuple(sounds))


def scores(metric, result, reference=None):
    for t, landmarks in enumerate(result):
        metric.update(FramePair(t / 25, frame(landmarks), None if reference is None else frame(reference[t])))
    return metric.result()


@pytest.mark.parametrize("late_s", [0.0, 0.2])
def test_lips_that_fit_the_sound_agree_with_the_prior(speaker, tmp_path, late_s):
    landmarks, wave = speaker
    write_wav(tmp_path / "a.wav", np.concatenate([np.zeros(round(late_s * RATE_HZ)), wave]), RATE_HZ)
    values = scores(PriorSync(context([Sound(tmp_path / "a.wav", 0.0, "result")])), landmarks).values
    assert values["prior_sync_r"] > 0.6 > 0.4 > values["prior_sync_chance_r"]
    assert values["prior_sync_lag_s"] == pytest.approx(late_s, abs=0.05)


def test_lips_of_another_sentence_do_not_agree(speaker, tmp_path):
    landmarks, wave = speaker
    write_wav(tmp_path / "a.wav", wave[::-1].copy(), RATE_HZ)
    values = scores(PriorSync(context([Sound(tmp_path / "a.wav", 0.0, "result")])), landmarks).values
    assert values["prior_sync_r"] - values["prior_sync_chance_r"] < 0.35


def test_the_speakers_own_lips_agree_at_another_size(speaker):
    landmarks, _ = speaker
    values = scores(LipAgreement(context()), 2 * landmarks + 5, landmarks).values
    assert values["lips_opening_r"] > 0.99 and values["lips_width_r"] > 0.99
    assert values["lips_opening_std"] == pytest.approx(1.0, abs=1e-3)


def test_lips_that_move_half_as_far_have_half_the_range(speaker):
    landmarks, _ = speaker
    mean = landmarks[:, 48:].mean(0)
    half = landmarks.copy()
    half[:, 48:] = mean + 0.5 * (half[:, 48:] - mean)
    assert scores(LipAgreement(context()), half, landmarks).values["lips_opening_std"] == pytest.approx(0.5, abs=0.1)


def test_random_lips_agree_no_better_than_chance(speaker):
    landmarks, _ = speaker
    other = landmarks.copy()
    motion = gaussian_filter1d(np.random.default_rng(0).normal(size=(len(other), 1)), 1.5, axis=0)
    other[:, 65:68, 1] = other[:, 61:64, 1][:, ::-1] + 5 + 10 * motion
    values = scores(LipAgreement(context()), other, landmarks).values
    assert values["lips_opening_r"] < 0.5


def test_untracked_results_and_missing_sound_are_told():
    for metric in (PriorSync(context()), LipAgreement(context(tracker="reference"))):
        result = scores(metric, np.zeros((3, 68, 2)), np.zeros((3, 68, 2)))
        assert all(np.isnan(value) for value in result.values.values()) and result.notes
