"""``train-lips``: learning, resuming, the file that render takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jean.checkpoint import load_checkpoint
from jean.config import load_config
from jean.errors import InputError, UsageError
from jean.lips.inputs import SpectrumInput
from jean.lips.prior import PRIOR_FILE, LipPrior, load_prior
from jean.progress import Silent
from jean.train.lips import data as lips_data
from jean.train.lips import voices
from jean.train.lips.config import LipsConfig
from jean.train.lips.recordings import Recorder
from jean.train.lips.stage import Lessons, LipsStage, weighted_correlation
from jean.train.lips.train import train_lips
from tests.helpers.interrupted import interrupted_at
from tests.helpers.tiny_clip import make_clip, move_lips, rewrite

QUICK = {"steps": 6, "batch": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    return [move_lips(make_clip(folder / name, frames=60, seed=number)) for number, name in enumerate("abc")]


def test_correlation_is_that_of_numpy_where_the_weight_is_one():
    random = np.random.default_rng(0)
    a, b = (torch.from_numpy(random.normal(size=(1, 50, 1))) for _ in range(2))
    weight = torch.ones(1, 50, 1, dtype=torch.float64)
    weight[:, 30:] = 0
    expected = np.corrcoef(a[0, :30, 0], b[0, :30, 0])[0, 1]
    assert weighted_correlation(a, b, weight).item() == pytest.approx(expected, abs=1e-2)


def test_training_writes_a_prior_that_render_can_load(clips, tmp_path):
    result = train_lips(clips, tmp_path / "run", LipsConfig(**QUICK, validation=("a",)), Silent())
    assert result["validation_people"] == 1 and result["people"] == 3
    assert -1 <= result["validation_r_opening"] <= 1
    prior = load_prior(tmp_path / "run" / PRIOR_FILE)
    trained = load_checkpoint(tmp_path / "run").module_state("model")
    assert torch.allclose(prior.lips.weight, trained["lips.weight"], atol=1e-3)
    assert not torch.equal(prior.lips.weight, load_prior().lips.weight)
    assert (prior.quantiles.diff(dim=1) >= 0).all() and prior.quantiles.abs().sum() > 0


def test_the_loss_on_real_lips_falls(clips):
    recorder = Recorder(SpectrumInput(), copies=0, seed=0)
    real = [lips_data.RealLips.read(clip, recorder) for clip in _corpus(clips)]
    config = LipsConfig(steps=40, batch=4, learning_rate=3e-4)
    stage = LipsStage(Lessons(None, None, real, []), load_prior(), config, torch.device("cpu"))
    losses = [stage.step(step)["loss"] for step in range(40)]
    assert np.mean(losses[-8:]) < np.mean(losses[:8]) - 0.05


def test_synthetic_speech_comes_first(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(voices, "SENTENCES_PER_JOB", 2)
    monkeypatch.setattr(lips_data, "SENTENCES_PER_JOB", 2)
    config = LipsConfig(**QUICK, synthetic_steps=4, synthetic_minutes=1, voices=("own",), validation=("none",))
    monkeypatch.setattr(lips_data, "map_in_processes", lambda function, jobs, *_: map(function, jobs[:2]))
    assert "train_r_opening" in train_lips(clips, tmp_path / "run", config, Silent())
    anchor = load_checkpoint(tmp_path / "run").module_state("anchor")
    assert not torch.equal(anchor["lips.weight"], LipPrior().lips.weight)


def test_an_interrupted_run_ends_with_the_same_weights(clips, tmp_path):
    def train(folder):
        return train_lips(clips, folder, LipsConfig(**QUICK), Silent())

    train(tmp_path / "whole")
    with interrupted_at(LipsStage, 3):
        train(tmp_path / "broken")
    train(tmp_path / "broken")
    hashes = [load_checkpoint(tmp_path / name).content_hash for name in ("whole", "broken")]
    assert hashes[0] == hashes[1]
    files = [(tmp_path / name / PRIOR_FILE).read_bytes() for name in ("whole", "broken")]
    assert files[0] == files[1]
    train(tmp_path / "whole")  # a finished run: nothing changes
    assert (tmp_path / "whole" / PRIOR_FILE).read_bytes() == files[0]


@pytest.mark.parametrize("voices", [("kal",), ()])
def test_unknown_or_no_voices_are_refused(voices):
    with pytest.raises(UsageError, match="voices"):
        load_config(LipsConfig, voices=voices)


def test_unusable_data_is_refused(clips, tmp_path):
    with pytest.raises(UsageError, match="only one person"):
        train_lips(clips[:1], tmp_path / "run", LipsConfig(**QUICK), Silent())
    silent = make_clip(tmp_path / "silent", frames=60, sound=False)
    with pytest.raises(InputError, match="sound"):
        train_lips([*clips, silent], tmp_path / "run", LipsConfig(**QUICK), Silent())


def test_the_lips_of_late_sound_are_moved(clips, tmp_path):
    late = move_lips(make_clip(tmp_path / "late", frames=80))
    rewrite(late, sync={"lag_s": 0.46, "r": 0.7, "r_opening": 0.7, "r_width": 0.7, "chance_r": 0.2, "rank": 0.0})
    recorder = Recorder(SpectrumInput(), copies=0, seed=0)
    (real,) = (lips_data.RealLips.read(clip, recorder) for clip in _corpus([late]))
    np.testing.assert_allclose(real.times_s, np.arange(80) / 25 + 0.4)


def _corpus(clips):
    from jean.clips.corpus import find_clips

    return find_clips(clips)
