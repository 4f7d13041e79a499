"""``train-lips --features`` and ``--teacher``: priors that read other features, and priors that learn from another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jean.config import load_config
from jean.errors import ArtefactError, InputError, UsageError
from jean.lips.inputs import FeatureFacts, FeatureInput, SpectrumInput
from jean.lips.prior import PRIOR_FILE, LipPrior, load_prior, save_prior
from jean.lips.spectrum import mel_power
from jean.media import RATE_HZ, write_wav
from jean.progress import Silent
from jean.train.lips import data as lips_data
from jean.train.lips import voices
from jean.train.lips.config import LipsConfig
from jean.train.lips.data import LabelledSpeech
from jean.train.lips.recordings import FeatureRecording, Recorder, statistics
from jean.train.lips.stage import Lessons, LipsStage
from jean.train.lips.teaching import PIECE_S, Teacher, sound_files
from jean.train.lips.train import train_lips
from tests.helpers.tiny_clip import make_clip, move_lips, rewrite
from tests.helpers.tiny_features import NAME, install_features

QUICK = {"steps": 3, "batch": 2, "device": "cpu", "validation": ("none",), "voices": ("own",), "synthetic_minutes": 1}


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Two clips, and one part of two short sentences as synthetic speech."""
    monkeypatch.setattr(voices, "SENTENCES_PER_JOB", 2)
    monkeypatch.setattr(lips_data, "SENTENCES_PER_JOB", 2)
    monkeypatch.setattr(lips_data, "map_in_processes", lambda function, jobs, *_: map(function, jobs[:1]))
    return [move_lips(make_clip(tmp_path / name, frames=50, seed=seed)) for seed, name in enumerate("ab")]


def loud_and_quiet(seconds=6.0, seed=0):
    """Noise whose level swings twice per second: float32 [S], and its level [100 per second]."""
    times = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    level = 0.1 + 0.08 * np.sin(2 * np.pi * 2 * times)
    noise = np.random.default_rng(seed).normal(size=len(times))
    return (level * noise).astype(np.float32), level[:: RATE_HZ // 100]


def test_a_prior_of_other_features_is_trained_stored_and_used(clips, tmp_path, monkeypatch):
    install_features(monkeypatch, tmp_path / "package")
    config = LipsConfig(**QUICK, features=NAME, synthetic_steps=3)
    assert "train_r_opening" in train_lips(clips, tmp_path / "run", config, Silent())
    prior = load_prior(tmp_path / "run" / PRIOR_FILE)
    assert prior.source.width == 3 and prior.first.in_channels == 3
    wave, _ = loud_and_quiet()
    rows = prior.source.rows(wave, np.zeros((600, 64)))
    assert rows.shape == (600, 3) and rows.dtype == np.float32
    np.testing.assert_allclose(rows[4], prior.source.extractor.extract(wave)[2], rtol=1e-6)  # 40 ms
    assert prior.track(wave).values.shape == (600, 5)
    again = LipsConfig(**QUICK, start=tmp_path / "run")  # the features are those of the start
    train_lips(clips, tmp_path / "more", again, Silent())
    assert load_prior(tmp_path / "more" / PRIOR_FILE).source.width == 3
    with pytest.raises(UsageError, match="reads loudness, not logmel"):
        train_lips(clips, tmp_path / "other", LipsConfig(**QUICK, start=tmp_path / "run", features="logmel"), Silent())


def test_features_are_standardised_over_the_training_speech(tmp_path, monkeypatch):
    install_features(monkeypatch, tmp_path)
    source = FeatureInput(FeatureFacts(features=NAME, version="1", width=3))
    recorder = Recorder(source, copies=2, seed=0)
    recordings = [recorder.record(loud_and_quiet(seed=seed)[0]) for seed in range(2)]
    mean, std = statistics(recordings, 3)
    rows = np.concatenate([recording.as_is() for recording in recordings])
    np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(std[:2], rows.std(0)[:2], rtol=1e-4)
    assert 0 < std[2] < std[0]  # the constant is not divided by zero
    prior = LipPrior(source=source)
    prior.standardise(mean, std)
    standard = prior.standard(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(standard.mean(0), 0, atol=2e-2)
    np.testing.assert_allclose(standard.std(0)[:2], 1, atol=1e-3)
    save_prior(tmp_path / PRIOR_FILE, prior.state_dict(), source)
    assert torch.equal(load_prior(tmp_path / PRIOR_FILE).standard.std, prior.standard.std)


def test_features_are_changed_in_the_wave(tmp_path, monkeypatch):
    install_features(monkeypatch, tmp_path)
    source = FeatureInput(FeatureFacts(features=NAME, version="1", width=3))
    wave, level = loud_and_quiet()
    recording = FeatureRecording(wave, source, 3, np.random.default_rng(0))
    random = np.random.default_rng(1)
    drawn = [recording.changed(random) for _ in range(30)]
    kinds = {values[:, 0].mean().round(6) for values in drawn}
    assert len(kinds) == 4  # the recording itself and three versions
    assert all(np.corrcoef(values[:, 0], level)[0, 1] > 0.5 for values in drawn)  # the speech stays where it is
    rows = np.array([5, 5, 7])
    assert recording.changed(np.random.default_rng(2), rows).shape == (3, 3)


def test_another_version_or_width_of_the_features_is_refused(tmp_path, monkeypatch):
    install_features(monkeypatch, tmp_path, version="2")
    wave = np.zeros(RATE_HZ, np.float32)
    for facts, message in (({"version": "1", "width": 3}, "version 1; version 2"), ({"version": "2", "width": 4}, "4")):
        prior = LipPrior(source=FeatureInput(FeatureFacts(features=NAME, **facts)))
        with pytest.raises(ArtefactError, match=message):
            prior.track(wave)
    with pytest.raises(UsageError, match="no audio feature called 'absent'"):
        LipPrior(source=FeatureInput(FeatureFacts(features="absent", version="1", width=3))).track(wave)


def test_a_malformed_description_of_the_features_is_refused(tmp_path):
    from jean.files import write_safetensors

    state = {name: value.clone() for name, value in LipPrior().state_dict().items()}
    for text in ("{", '{"features": "loudness"}', '{"features": "loudness", "version": "1", "width": 0}'):
        write_safetensors(tmp_path / "prior.safetensors", state, {"lip_prior": text})
        with pytest.raises(ArtefactError):
            load_prior(tmp_path / "prior.safetensors")
    text = '{"features": "loudness", "version": "1", "width": 3}'  # weights of a spectrum
    write_safetensors(tmp_path / "prior.safetensors", state, {"lip_prior": text})
    with pytest.raises(ArtefactError, match="no lip prior"):
        load_prior(tmp_path / "prior.safetensors")


class Doubling(LipPrior):
    """A teacher whose lips open with the level of the sound, and that hears class 3 where it is loud, else class 4."""

    def in_pieces(self, rows):
        level = rows.mean(1)
        lips = np.zeros((len(rows), 5))
        lips[:, 0] = 2 * level
        phonemes = np.zeros((len(rows), 40))
        phonemes[:, 3], phonemes[:, 4] = level > 0, level <= 0
        yield 0, lips, phonemes


def test_a_pupil_learns_what_its_teacher_predicts():
    recorder = Recorder(SpectrumInput(), copies=0, seed=0)
    teacher = Teacher(Doubling(), recorder)
    for seed in range(4):
        teacher.label(loud_and_quiet(seed=seed)[0])
    torch.manual_seed(0)
    config = LipsConfig(teacher="T", teacher_steps=60, steps=0, batch=4, dropout=0.0)
    stage = LipsStage(Lessons(None, teacher.speech, [], []), LipPrior(), config, torch.device("cpu"))
    losses = [stage.step(step)["loss"] for step in range(stage.steps)]
    assert stage.steps == 60 and np.mean(losses[-10:]) < 0.6 * losses[0]
    wave, level = loud_and_quiet(seed=9)
    assert np.corrcoef(stage.model.track(wave).values[:, 0], level)[0, 1] > 0.7
    assert (stage.model.quantiles.diff(dim=1) >= 0).all()


def test_long_sounds_are_cut_with_their_labels():
    teacher = Teacher(Doubling(), Recorder(SpectrumInput(), copies=0, seed=0))
    wave, _ = loud_and_quiet(seconds=PIECE_S * 2 + 3.0)
    teacher.label(wave)
    teacher.label(wave[:100])  # too short for a row
    speech = teacher.speech
    assert [len(lips) for lips in speech.lips] == [1000, 1000, 300]
    assert [len(recording.speaking) for recording in speech.recordings] == [1000, 1000, 300]
    whole = teacher.prior.source.rows(wave, mel_power(wave)).mean(1) * 2
    np.testing.assert_allclose(np.concatenate(speech.lips)[:, 0], whole, atol=1e-5)


def test_a_teacher_needs_no_lips(clips, tmp_path, monkeypatch):
    """A clip without a face, a sound file and synthetic speech."""
    blind = rewrite(clips[0], {"landmarks": np.full((50, 68, 2), np.nan, np.float32), "valid": np.zeros(50, bool)})
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    write_wav(sounds / "a.wav", loud_and_quiet()[0], RATE_HZ)
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    save_prior(teacher / PRIOR_FILE, LipPrior().state_dict(), SpectrumInput())
    config = LipsConfig(**QUICK | {"steps": 0}, teacher=teacher, teacher_steps=3, speech=(sounds,))
    with pytest.raises(UsageError, match="no clip to train on shows moving lips"):
        train_lips([blind], tmp_path / "run", config.model_copy(update={"steps": 1}), Silent())
    nowhere = config.model_copy(update={"speech": (tmp_path / "nowhere",)})
    with monkeypatch.context() as patches, pytest.raises(InputError, match="holds no sound"):
        patches.setattr(lips_data, "map_in_processes", None)  # before anything is spoken
        train_lips([blind], tmp_path / "run", nowhere, Silent())
    result = train_lips([blind], tmp_path / "run", config, Silent())
    assert result["steps"] == 3
    assert not torch.equal(load_prior(tmp_path / "run" / PRIOR_FILE).lips.weight, load_prior().lips.weight.half())
    assert load_prior(tmp_path / "run" / PRIOR_FILE).quantiles.abs().sum() > 0


def test_sounds_are_found_in_folders(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.wav", "deep/a.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in sound_files([tmp_path])] == ["b.wav", "a.mp4"]
    with pytest.raises(InputError, match="holds no sound"):
        sound_files([tmp_path / "absent"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "nothing else to learn"),
        ({"speech": ("x.wav",)}, "needs a teacher"),
        ({"features": "logmel"}, "random weights"),
        ({"teacher": "T", "teacher_steps": 0}, "teacher_steps"),
    ],
)
def test_contradictions_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        load_config(LipsConfig, **options)


def test_lips_have_one_scale():
    speech = LabelledSpeech()
    random = np.random.default_rng(0)
    recorder = Recorder(SpectrumInput(), copies=0, seed=0)
    for _ in range(2):
        lips = random.normal(size=(600, 5)) * [1, 2, 3, 4, 5]
        speech.add(recorder.record(loud_and_quiet()[0]), lips, np.zeros(600, int))
    speech.standardise_lips()
    np.testing.assert_allclose(np.concatenate(speech.lips).std(0), 1, rtol=1e-6)
