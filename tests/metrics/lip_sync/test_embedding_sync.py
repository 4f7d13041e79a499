"""Lip sync by the project's own embeddings: known shifts, trained networks, errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jean.errors import ArtefactError, UsageError
from jean.evaluation.evaluate import EvaluateConfig, evaluate
from jean.metrics.base import MetricContext, Sound
from jean.metrics.lip_sync.embedding_sync import EmbeddingSync, EmbeddingSyncOptions, embedding_agreement
from jean.progress import Silent
from jean.train.audio.config import AudioConfig
from jean.train.audio.stage import train_audio
from jean.train.landmarks.config import LandmarkConfig
from jean.train.landmarks.stage import train_landmarks
from tests.helpers.tiny_corpus import make_corpus


@pytest.mark.parametrize("late", [-15, -3, 0, 6])
def test_a_known_shift_of_the_lips_is_found(late: int) -> None:
    """Lips that show at frame t the sound of frame t − late are late by that many frames."""
    track = np.random.default_rng(0).normal(size=(120, 8))
    sound = track[20:100]
    lips = track[20 - late : 100 - late]
    found = embedding_agreement(sound, lips, np.ones(80, bool))
    assert found is not None and found.offset == late
    assert found.similarity == pytest.approx(1)
    assert found.confidence > 0.9 and found.curve.shape == (31,)


def test_only_voiced_frames_count_and_too_few_give_none() -> None:
    track = np.random.default_rng(0).normal(size=(80, 8))
    spoilt = track.copy()
    spoilt[40:] = np.random.default_rng(1).normal(size=(40, 8))
    voiced = np.arange(80) < 40
    assert embedding_agreement(track, spoilt, voiced).similarity == pytest.approx(1)
    assert embedding_agreement(track, spoilt, np.ones(80, bool)).similarity < 0.8
    assert embedding_agreement(track, track, np.zeros(80, bool)) is None
    assert embedding_agreement(track[:30], track[:30], np.ones(30, bool)) is None


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """(corpus with images, landmark run, audio run)."""
    folder = tmp_path_factory.mktemp("own sync")
    corpus = make_corpus(folder / "corpus", people=2, sentences=3, frames=60, size=8)
    quick = {"preset": "small", "steps": 120, "batch": 32, "device": "cpu"}
    train_landmarks([corpus], folder / "landmarks", LandmarkConfig(**quick), Silent())
    train_audio([corpus], folder / "landmarks", folder / "audio", AudioConfig(**quick), Silent())
    return corpus, folder / "landmarks", folder / "audio"


def metric(runs: tuple[Path, Path], result: Path, *sounds: Path) -> EmbeddingSync:
    sources = tuple(Sound(path, 0.0, "audio source") for path in sounds)
    options = EmbeddingSyncOptions(landmarks=runs[0], audio_encoder=runs[1])
    return EmbeddingSync(MetricContext(25.0, result, None, True, "reference", sounds=sources), options)


@pytest.mark.slow
def test_trained_networks_prefer_the_right_sound(trained, tmp_path: Path) -> None:
    """The toy clips store audio windows of their sentence: the same sentence agrees, another does not."""
    corpus, *runs = trained
    clips = {sentence: corpus / "p0" / f"happy_{sentence:03d}" for sentence in (1, 2, 3)}
    right, wrong = [], []
    for own, result in clips.items():
        for other, sound in clips.items():
            scores = metric(tuple(runs), result, sound).result()
            (right if own == other else wrong).append(scores.values["own_sync"])
            if own == other:
                assert scores.values["own_sync_offset"] == 0
                assert any("not LSE" in note for note in scores.notes)
    assert min(right) > max(wrong), (right, wrong)
    several = metric(tuple(runs), clips[1], *clips.values()).result()
    assert np.isnan(several.values["own_sync_offset"]) and any("mean over 3 sounds" in note for note in several.notes)


@pytest.mark.slow
def test_evaluate_computes_own_sync_and_names_missing_inputs(trained, tmp_path: Path) -> None:
    corpus, landmarks, audio = trained
    result = corpus / "p0" / "happy_001"
    options = {"own_sync": {"landmarks": str(landmarks), "audio_encoder": str(audio)}}
    settings = {"tracker": "reference", "reference": result, "metric_options": options}
    table = evaluate([result], EvaluateConfig(**settings, metrics=("own_sync",)), tmp_path / "out")
    assert table["rows"][0]["values"]["own_sync"] > 0
    assert table["truth"][0]["values"]["own_sync"] == table["rows"][0]["values"]["own_sync"]
    assert "own_sync" in evaluate([result], EvaluateConfig(**settings))["protocol"]["metrics"], "options imply it"
    for wrong in ({"metric_options": {"own_sync": {"landmarks": landmarks}}}, {"metrics": ("own_sync",)}):
        with pytest.raises(UsageError, match=r"the metric own_sync needs .*audio_encoder"):
            evaluate([result], EvaluateConfig(tracker="reference", reference=result, **wrong))
    with pytest.raises(ArtefactError):
        metric((audio, landmarks), result, result)
    silent = metric((landmarks, audio), result).result()
    assert np.isnan(silent.values["own_sync"]) and "--audio-source" in silent.notes[0]
    video = tmp_path / "a.mp4"
    video.write_bytes(b"x")
    unprepared = metric((landmarks, audio), video, result).result()
    assert "jean prepare" in unprepared.notes[0]
