"""``train-landmarks`` and ``train-audio`` on a corpus of formulas: numbers of the paper, resume, refusals, learning."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from jean.checkpoint import load_checkpoint
from jean.clips.corpus import find_clips
from jean.drivers.face_frames import load_frames
from jean.drivers.face_points import face_points
from jean.errors import ArtefactError, InputError, Interrupted, UsageError
from jean.files import read_json, write_json
from jean.models.stored import load_audio_encoder, load_landmark_autoencoder
from jean.progress import Silent
from jean.train.audio import config as audio_config
from jean.train.audio.config import AudioConfig
from jean.train.audio.negatives import apart, other_sounds
from jean.train.audio.stage import AudioStage, train_audio
from jean.train.engine.epochs import Epochs
from jean.train.landmarks import config as landmark_config
from jean.train.landmarks.config import LandmarkConfig
from jean.train.landmarks.stage import LandmarkStage, train_landmarks
from tests.helpers.tiny_corpus import make_corpus

QUICK = {"steps": 40, "batch": 64, "device": "cpu"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def landmarks(corpus, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "landmarks"
    train_landmarks([corpus], run, LandmarkConfig(preset="small", steps=400, batch=64, device="cpu"), Silent())
    return run


def test_the_defaults_are_the_papers():
    first = landmark_config.resolved(LandmarkConfig())
    assert (first.swap_probability, first.hidden, first.width) == (0.8, (256, 256, 128), 64)
    assert (first.epochs, first.batch, first.weight_decay, first.steps) == (15, 256, 1e-5, None)
    second = audio_config.resolved(AudioConfig())
    assert (second.temperature, second.negatives, second.negatives_from) == (0.1, 1, "other-clips")
    assert (second.epochs, second.batch, second.learning_rate, second.last_rate) == (30, 256, 1e-3, 5e-6)
    assert (second.audio_noise, second.dropout) == (0, 0)
    with pytest.raises(UsageError, match="contradict"):
        audio_config.resolved(AudioConfig(steps=1, epochs=1))


def test_an_epoch_shows_every_item_once_in_another_order():
    epochs = Epochs(10, 4, seed=0)
    assert epochs.steps == 3
    first, second = (np.concatenate([epochs.at(3 * e + s) for s in range(3)]) for e in (0, 1))
    assert sorted(first) == sorted(second) == list(range(10)) and list(first) != list(second)
    assert list(Epochs(10, 4, 0).at(4)) == list(epochs.at(4))  # whatever was asked before


def test_points_lose_the_pose_and_keep_the_face(corpus):
    clip = find_clips([corpus])[0].open()
    head, motion, frame = (face_points(clip, form) for form in ("head", "motion", "frame"))
    assert head.shape == motion.shape == frame.shape == (40, 51, 2)
    # only the lower lip moves (and the brows by a constant): all else stands still though the head turns
    assert head[:, 10:31].std(0).max() < 1e-3 < frame[:, 10:31].std(0).max()
    assert head[:, 41:].std(0)[:, 1].min() > 0.01
    moved = clip.arrays["shape"][17:, :2] / 8.89
    assert np.allclose(motion / 4, head - moved + np.array([0, 1 / 8.89]), atol=1e-5)
    assert np.abs(frame).max() < 0.8


def test_partners_come_from_the_same_clip(corpus):
    frames = load_frames(find_clips([corpus]), "head")
    chosen = np.arange(len(frames))
    partner = frames.others_of_clip(chosen, np.random.default_rng(0))
    assert (frames.clip[partner] == frames.clip[chosen]).all()
    assert (partner != chosen).mean() > 0.9


def test_other_sounds_are_the_same_person_and_another_clip(corpus):
    frames = load_frames(find_clips([corpus]), "head", sound=True)
    person = np.array([clip.person for clip in frames.clips])[frames.clip]
    chosen = np.arange(len(frames))
    others = other_sounds(frames, chosen, 3, False, 0.3, np.random.default_rng(0))
    assert (person[others] == person[chosen][:, None]).all()
    assert (frames.clip[others] != frames.clip[chosen][:, None]).all()
    hit = {(int(frames.clip[c]), int(frames.clip[o])) for c, row in zip(chosen, others, strict=True) for o in row}
    assert len(hit) == 2 * 4 * 3  # every other clip of the person is met
    near = other_sounds(frames, chosen, 3, True, 0.3, np.random.default_rng(0))
    same = frames.clip[near] == frames.clip[chosen][:, None]
    distance = np.abs(frames.frame[near] - frames.frame[chosen][:, None])
    assert same.any() and (distance[same] >= 7.5).all()
    allowed = apart(frames, chosen[:100], 0.3)
    assert not allowed.diagonal().any() and allowed[0, 50] and allowed[0, 8] and not allowed[0, 7]
    alone = load_frames(find_clips([corpus])[:1], "head", sound=True)
    drawn = other_sounds(alone, np.arange(40), 2, False, 0.3, np.random.default_rng(0))
    assert (np.abs(drawn - np.arange(40)[:, None]) >= 7.5).all()


def test_the_landmark_autoencoder_learns_and_names_what_it_was_made_from(landmarks, corpus):
    metrics = json.loads((landmarks / "metrics.json").read_text())
    lines = [json.loads(line) for line in (landmarks / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert metrics["validation_loss"] > 0
    stored = load_landmark_autoencoder(landmarks)
    assert stored.meta["form"] == "motion" and stored.meta["tracker"]["name"] == "truth"
    assert stored.meta["train_people"] == 1 and stored.meta["held_out"] in (["p0"], ["p1"])
    assert (landmarks / "previews").is_dir()
    with pytest.raises(ArtefactError):
        load_audio_encoder(landmarks)


@pytest.mark.parametrize("stage", ["landmarks", "audio"])
def test_an_interrupted_run_ends_with_the_same_weights(stage, corpus, landmarks, tmp_path, monkeypatch):
    def train(folder):
        if stage == "landmarks":
            return train_landmarks([corpus], folder, LandmarkConfig(**QUICK), Silent())
        return train_audio([corpus], landmarks, folder, AudioConfig(preset="small", **QUICK), Silent())

    whole = train(tmp_path / "whole")
    kind = {"landmarks": LandmarkStage, "audio": AudioStage}[stage]
    step = kind.step

    def stopping(self, number):
        if number == 23:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(kind, "step", stopping)
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        train(tmp_path / "broken")
    assert 0 < load_checkpoint(tmp_path / "broken").step < 40
    monkeypatch.setattr(kind, "step", step)
    again = train(tmp_path / "broken")
    hashes = [load_checkpoint(tmp_path / name).content_hash for name in ("whole", "broken")]
    assert hashes[0] == hashes[1]
    differing = {key for key in whole if whole[key] != again[key]}
    assert differing <= {"seconds"}
    assert (tmp_path / "whole/log.jsonl").read_bytes() == (tmp_path / "broken/log.jsonl").read_bytes()
    assert train(tmp_path / "whole") == whole


def test_the_rate_falls_to_the_papers_last(corpus, landmarks, tmp_path, monkeypatch):
    rates = []
    step = AudioStage.step

    def watched(self, number):
        result = step(self, number)
        rates.append(self.optimisers["adam"].param_groups[0]["lr"])
        return result

    monkeypatch.setattr(AudioStage, "step", watched)
    train_audio([corpus], landmarks, tmp_path / "run", AudioConfig(**QUICK), Silent())
    assert rates[0] == 1e-3 and np.isclose(rates[-1], 1e-3 * (5e-3) ** (39 / 40))
    assert np.allclose(np.diff(np.log(rates)), np.log(5e-3) / 40)


def test_the_audio_encoder_finds_the_sound_of_a_mouth(corpus, landmarks, tmp_path):
    config = AudioConfig(preset="small", steps=300, batch=128, device="cpu", validation=("p1",))
    result = train_audio([corpus], landmarks, tmp_path / "run", config, Silent())
    assert result["retrieval_of_5_frames_1_of_32"] > 0.5 and result["offset_within_1_frame"] > 0.7
    stored = load_audio_encoder(tmp_path / "run")
    assert stored.meta["audio"]["logmel"]["width"] == 80
    assert stored.model(torch.zeros(2, 16, 80)).shape == (2, 64)
    assert not any(parameter.requires_grad for parameter in stored.model.parameters())


def test_what_does_not_fit_is_refused(corpus, landmarks, tmp_path):
    with pytest.raises(InputError, match="no deepspeech features"):
        train_audio([corpus], landmarks, tmp_path / "a", AudioConfig(audio_features="deepspeech", **QUICK), Silent())
    other = make_corpus(tmp_path / "other", people=1, sentences=1, frames=12)
    for path in other.rglob("clip.json"):
        write_json(path, read_json(path) | {"tracker": {"name": "mediapipe", "version": "1"}})
    with pytest.raises(ArtefactError, match="mediapipe"):
        train_audio([other], landmarks, tmp_path / "b", AudioConfig(**QUICK), Silent())
    with pytest.raises(InputError, match="differ in tracker"):
        train_landmarks([corpus / "p0", other], tmp_path / "c", LandmarkConfig(**QUICK), Silent())
    with pytest.raises(ArtefactError, match="no checkpoint"):
        train_audio([corpus], landmarks.parent / "none", tmp_path / "d", AudioConfig(**QUICK), Silent())


def test_frames_without_a_face_are_left_out(tmp_path):
    corpus = make_corpus(tmp_path, people=1, sentences=1, frames=20)
    path = sorted(corpus.rglob("arrays.safetensors"))[0]
    arrays = load_file(path)
    arrays["landmarks"][3] = np.nan
    arrays["valid"][3] = arrays["valid"][7] = False
    save_file(arrays, path)
    frames = load_frames(find_clips([corpus]), "head", sound=True)
    assert len(frames) == 38 and np.isfinite(frames.points).all()
    assert 3 not in frames.frame[frames.clip == 0] and 7 not in frames.frame[frames.clip == 0]
