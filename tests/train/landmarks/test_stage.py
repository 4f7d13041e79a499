"""``train-landmarks`` on a synthetic corpus: the paper's numbers, learning, resuming, rejected data."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from jean.checkpoint import load_checkpoint
from jean.clips.corpus import find_clips
from jean.drivers.face_frames import load_frames
from jean.drivers.face_points import face_points
from jean.errors import ArtefactError
from jean.models.stored import load_audio_encoder, load_landmark_autoencoder
from jean.progress import Silent
from jean.train.landmarks.config import LandmarkConfig
from jean.train.landmarks.stage import LandmarkStage, draw_face, train_landmarks
from tests.helpers.interrupted import interrupted_at
from tests.helpers.tiny_clip import rewrite
from tests.helpers.tiny_corpus import make_corpus

QUICK = {"steps": 40, "batch": 64, "device": "cpu"}


def test_the_defaults_are_the_papers():
    config = LandmarkConfig()
    assert (config.swap_probability, config.hidden, config.width) == (0.8, (256, 256, 128), 64)
    assert (config.epochs, config.batch, config.steps) == (15, 256, None)
    assert config.weight_decay == pytest.approx(1e-5 / (51 * 2)), "of a sum over 51 points, relative to their mean"


def test_points_lose_the_pose_and_keep_the_face(two_people):
    clip = find_clips([two_people])[0].open()
    head, motion, frame = (face_points(clip, form) for form in ("head", "motion", "frame"))
    assert head.shape == motion.shape == frame.shape == (40, 51, 2)
    # only the lower lip moves (and the brows by a constant): everything else is at rest although the head turns
    assert head[:, 10:31].std(0).max() < 1e-3 < frame[:, 10:31].std(0).max()
    assert head[:, 41:].std(0)[:, 1].min() > 0.01
    shape = clip.arrays["shape"][17:, :2] / 8.89
    assert np.allclose(motion / 4, head - shape + np.array([0, 1 / 8.89]), atol=1e-5)
    assert np.abs(frame).max() < 0.8


def test_the_second_frame_of_a_pair_comes_from_the_same_clip(two_people):
    frames = load_frames(find_clips([two_people]), "head")
    first = np.arange(len(frames))
    second = frames.draw_from_same_clip(first, np.random.default_rng(0))
    assert (frames.clip[second] == frames.clip[first]).all()
    assert (second != first).mean() > 0.9


def test_training_lowers_the_loss_and_records_the_data(landmark_run):
    metrics = json.loads((landmark_run / "metrics.json").read_text())
    lines = [json.loads(line) for line in (landmark_run / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert metrics["validation_loss"] > 0
    stored = load_landmark_autoencoder(landmark_run)
    assert stored.meta["form"] == "motion" and stored.meta["tracker"]["name"] == "truth"
    assert stored.meta["train_people"] == 1 and stored.meta["held_out"] in (["p0"], ["p1"])
    assert (landmark_run / "previews").is_dir()
    with pytest.raises(ArtefactError):
        load_audio_encoder(landmark_run)


def test_an_interrupted_run_ends_with_the_same_weights(two_people, tmp_path):
    def train(folder):
        return train_landmarks([two_people], folder, LandmarkConfig(**QUICK), Silent())

    whole = train(tmp_path / "whole")
    with interrupted_at(LandmarkStage, 23):
        train(tmp_path / "broken")
    assert 0 < load_checkpoint(tmp_path / "broken").step < 40
    resumed = train(tmp_path / "broken")
    hashes = [load_checkpoint(tmp_path / name).content_hash for name in ("whole", "broken")]
    assert hashes[0] == hashes[1]
    assert {key for key in whole if whole[key] != resumed[key]} <= {"seconds"}
    assert (tmp_path / "whole/log.jsonl").read_bytes() == (tmp_path / "broken/log.jsonl").read_bytes()
    assert train(tmp_path / "whole") == whole


def test_clips_of_different_trackers_are_rejected(two_people, tmp_path):
    other = make_corpus(tmp_path / "other", people=1, sentences=1, frames=12)
    for path in other.rglob("clip.json"):
        rewrite(path.parent, tracker={"name": "mediapipe", "version": "1"})
    with pytest.raises(ArtefactError, match="has tracker mediapipe 1"):
        train_landmarks([two_people / "p0", other], tmp_path / "run", LandmarkConfig(**QUICK), Silent())


def test_frames_without_a_face_are_skipped(tmp_path):
    corpus = make_corpus(tmp_path, people=1, sentences=1, frames=20)
    path = sorted(corpus.rglob("arrays.safetensors"))[0]
    arrays = load_file(path)
    arrays["landmarks"][3] = np.nan
    arrays["valid"][3] = arrays["valid"][7] = False
    rewrite(path.parent, arrays)
    frames = load_frames(find_clips([corpus]), "head", sound=True)
    assert len(frames) == 38 and np.isfinite(frames.points).all()
    assert 3 not in frames.frame[frames.clip == 0] and 7 not in frames.frame[frames.clip == 0]


def test_a_preview_draws_the_mouth_in_red_and_no_missing_landmark():
    points = np.full((51, 2), np.nan)
    assert (draw_face(points) == 255).all()
    points[0], points[50] = (-0.4, -0.4), (0.4, 0.4)
    image = draw_face(points, side=100).astype(int)
    assert image[28, 28].tolist() == [30, 30, 90] and image[72, 72].tolist() == [200, 30, 30]
