"""``train-audio`` on a synthetic corpus: the paper's numbers, learning, resuming, rejected data."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from jean.checkpoint import load_checkpoint
from jean.errors import ArtefactError, InputError
from jean.models.stored import load_audio_encoder
from jean.progress import Silent
from jean.train.audio.config import AudioConfig
from jean.train.audio.stage import AudioStage, train_audio
from tests.helpers.interrupted import interrupted_at
from tests.helpers.tiny_clip import make_clip, rewrite
from tests.helpers.tiny_corpus import make_corpus

QUICK = {"steps": 40, "batch": 64, "device": "cpu"}


def test_the_defaults_are_the_papers():
    config = AudioConfig()
    assert (config.temperature, config.negatives, config.negatives_from) == (0.1, 1, "other-clips")
    assert (config.epochs, config.steps, config.batch) == (30, None, 256)
    assert (config.learning_rate, config.last_rate) == (1e-3, 5e-6)
    assert (config.audio_noise, config.dropout) == (0, 0)


def test_an_interrupted_run_ends_with_the_same_weights(two_people, landmark_run, tmp_path):
    def train(folder):
        return train_audio([two_people], landmark_run, folder, AudioConfig(preset="small", **QUICK), Silent())

    whole = train(tmp_path / "whole")
    with interrupted_at(AudioStage, 23):
        train(tmp_path / "broken")
    assert 0 < load_checkpoint(tmp_path / "broken").step < 40
    resumed = train(tmp_path / "broken")
    hashes = [load_checkpoint(tmp_path / name).content_hash for name in ("whole", "broken")]
    assert hashes[0] == hashes[1]
    assert {key for key in whole if whole[key] != resumed[key]} <= {"seconds"}
    assert (tmp_path / "whole/log.jsonl").read_bytes() == (tmp_path / "broken/log.jsonl").read_bytes()
    assert train(tmp_path / "whole") == whole


def test_the_learning_rate_decays_exponentially_to_the_papers_last(two_people, landmark_run, tmp_path, monkeypatch):
    rates = []
    original = AudioStage.step

    def recording_step(self, number):
        result = original(self, number)
        rates.append(self.optimisers["adam"].param_groups[0]["lr"])
        return result

    monkeypatch.setattr(AudioStage, "step", recording_step)
    train_audio([two_people], landmark_run, tmp_path / "run", AudioConfig(**QUICK), Silent())
    assert rates[0] == 1e-3 and np.isclose(rates[-1], 1e-3 * (5e-3) ** (39 / 40))
    assert np.allclose(np.diff(np.log(rates)), np.log(5e-3) / 40)


def test_the_trained_encoder_retrieves_the_audio_of_a_mouth(two_people, landmark_run, tmp_path):
    config = AudioConfig(preset="small", steps=300, batch=128, device="cpu", validation=("p1",))
    result = train_audio([two_people], landmark_run, tmp_path / "run", config, Silent())
    assert result["retrieval_of_5_frames_1_of_32"] > 0.5 and result["offset_within_1_frame"] > 0.7
    stored = load_audio_encoder(tmp_path / "run")
    assert stored.meta["audio"]["logmel"]["width"] == 80
    assert stored.model(torch.zeros(2, 16, 80)).shape == (2, 64)
    assert not any(parameter.requires_grad for parameter in stored.model.parameters())


def test_the_landmark_autoencoders_validation_people_are_held_out_here_too(two_people, landmark_run, tmp_path):
    train_audio([two_people], landmark_run, tmp_path / "run", AudioConfig(**QUICK), Silent())
    held_out = load_checkpoint(landmark_run).payload["meta"]["held_out"]
    assert load_checkpoint(tmp_path / "run").payload["meta"]["held_out"] == held_out


class Heard(Silent):
    """Keeps warnings."""

    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def test_clips_without_sound_are_left_out_and_counted(landmark_run, tmp_path):
    corpus = make_corpus(tmp_path / "corpus")
    whole = train_audio([corpus], landmark_run, tmp_path / "whole", AudioConfig(**QUICK), Silent())
    for person in ("p0", "p1"):
        silent = make_clip(corpus / person / "sad_009", frames=12, size=8, sound=False)
        rewrite(silent, pictures=False, matting=None)
        for name in ("frames.u8", "matte.u8", "background.png"):
            (silent / name).unlink()
        document = json.loads((silent / "clip.json").read_text())
        del document["matting"]
        document["files"] = {name: facts for name, facts in document["files"].items() if name == "arrays.safetensors"}
        (silent / "clip.json").write_text(json.dumps(document))
    heard = Heard()
    result = train_audio([corpus], landmark_run, tmp_path / "run", AudioConfig(**QUICK), heard)
    assert any("2 of 10 clips have no sound and are left out, first p0/sad_009" in text for text in heard.warnings)
    assert result["train_clips"] == whole["train_clips"] == 4
    assert load_checkpoint(tmp_path / "run").content_hash == load_checkpoint(tmp_path / "whole").content_hash
    with pytest.raises(InputError, match="none of the 1 clips has sound"):
        train_audio([corpus / "p0/sad_009"], landmark_run, tmp_path / "none", AudioConfig(**QUICK), Silent())


def test_unsuitable_data_is_rejected(two_people, landmark_run, tmp_path):
    with pytest.raises(ArtefactError, match="has no deepspeech audio features"):
        deepspeech = AudioConfig(audio_features="deepspeech", **QUICK)
        train_audio([two_people], landmark_run, tmp_path / "a", deepspeech, Silent())
    other = make_corpus(tmp_path / "other", people=1, sentences=1, frames=12)
    for path in other.rglob("clip.json"):
        rewrite(path.parent, tracker={"name": "mediapipe", "version": "1"})
    with pytest.raises(ArtefactError, match="mediapipe"):
        train_audio([other], landmark_run, tmp_path / "b", AudioConfig(**QUICK), Silent())
    with pytest.raises(ArtefactError, match="no checkpoint"):
        train_audio([two_people], landmark_run.parent / "none", tmp_path / "d", AudioConfig(**QUICK), Silent())
