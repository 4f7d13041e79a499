"""``train-motion``: learning, resuming, the file that act and render take, unusable data."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from jean.checkpoint import load_checkpoint
from jean.drivers.motion_model import MOTION_FILE, load_motion_model
from jean.drivers.motion_sampling import Conditions, EmotionTrack, sample_motion
from jean.drivers.motion_sound import WIDTH as SOUND_WIDTH
from jean.errors import ArtefactError, DivergedError, InputError, UsageError
from jean.progress import Silent
from jean.train.motion.config import MotionConfig
from jean.train.motion.critics import Critics, spread_loss
from jean.train.motion.losses import motion_losses
from jean.train.motion.stage import MotionStage, train_motion
from tests.helpers.interrupted import interrupted_at
from tests.helpers.tiny_clip import make_clip, move_lips
from tests.helpers.tiny_motion import write_motion_clip, write_motion_clips

QUICK = {"steps": 5, "critic_steps": 3, "batch": 4, "hidden": 16, "layers": 1, "device": "cpu"}


class Told(Silent):
    """Collects warnings."""

    def __init__(self):
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_motion_clips(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return folder, train_motion([corpus], folder, MotionConfig(**QUICK), Silent())


def test_training_writes_a_model_that_can_be_loaded(run):
    folder, result = run
    assert result["people"] == 3 and result["validation_people"] == 1 and result["emotions"] == ["happy", "sad"]
    model = load_motion_model(folder / MOTION_FILE)
    assert model.emotions == ["happy", "sad"] and model.facts.tracker.name == "tiny" and not model.facts.synthetic
    trained = load_checkpoint(folder).module_state("model")
    assert torch.allclose(model.network.token.weight, trained["token.weight"], atol=1e-3)
    assert np.isfinite(model.basis.face_axes).all()
    assert -6 < float(model.network.blink_hazard[0]) < -1  # 2 blinks in 90 frames of every clip


def test_losses_fall(corpus, tmp_path):
    steps = MotionConfig(**QUICK | {"steps": 80, "critic_steps": 5, "learning_rate": 5e-3, "average": 0.9})
    result = train_motion([corpus], tmp_path / "run", steps, Silent())
    log = [line for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines() if '"flow"' in line]
    flow = [float(line.split('"flow": ')[1].split(",")[0]) for line in log]
    assert [json.loads(line)["step"] for line in log] == list(range(6, 86))  # no loss takes the name of the counter
    assert np.mean(flow[-10:]) < 0.75 * np.mean(flow[:3])
    assert result["validation_lips_r2"] > 0.3


def test_an_interrupted_run_ends_with_the_same_weights(corpus, run, tmp_path):
    for stop in (2, 6):  # while the critics learn, and afterwards
        with interrupted_at(MotionStage, stop):
            train_motion([corpus], tmp_path / f"broken{stop}", MotionConfig(**QUICK), Silent())
        train_motion([corpus], tmp_path / f"broken{stop}", MotionConfig(**QUICK), Silent())
        assert load_checkpoint(tmp_path / f"broken{stop}").content_hash == load_checkpoint(run[0]).content_hash
        assert (tmp_path / f"broken{stop}" / MOTION_FILE).read_bytes() == (run[0] / MOTION_FILE).read_bytes()


def test_an_interrupted_recurrent_run_ends_with_the_same_weights(corpus, tmp_path):
    config = MotionConfig(**QUICK | {"preset": "paper", "layers": 2})
    train_motion([corpus], tmp_path / "whole", config, Silent())
    for stop in (2, 6):  # while the critics learn, and afterwards
        with interrupted_at(MotionStage, stop):
            train_motion([corpus], tmp_path / f"broken{stop}", config, Silent())
        train_motion([corpus], tmp_path / f"broken{stop}", config, Silent())
        whole, again = (tmp_path / name / MOTION_FILE for name in ("whole", f"broken{stop}"))
        assert again.read_bytes() == whole.read_bytes()
        assert load_checkpoint(again.parent).content_hash == load_checkpoint(whole.parent).content_hash


def test_the_paper_preset_trains_an_autoregressive_model(corpus, tmp_path):
    quick = {name: value for name, value in QUICK.items() if name != "layers"} | {"preset": "paper", "steps": 60}
    train_motion([corpus], tmp_path / "run", MotionConfig(**quick), Silent())
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    for name in ("values", "gaze"):
        found = [row[name] for row in log if name in row]
        assert np.mean(found[-5:]) < 0.9 * np.mean(found[:5])
    network = load_motion_model(tmp_path / "run" / MOTION_FILE).network
    track = EmotionTrack.of_strengths(np.zeros((70, 2)))
    made = sample_motion(network, Conditions(np.zeros((70, SOUND_WIDTH), np.float32), track))
    assert np.isfinite(made.vectors).all() and made.vectors[:, 10].std() > 0.1  # the gaze is drawn


def test_without_critics_there_are_none(corpus, tmp_path):
    weights = {"emotion_weight": 0.0, "cohesion_weight": 0.0, "sound_weight": 0.0, "moment_weight": 0.0}
    train_motion([corpus], tmp_path / "run", MotionConfig(**QUICK, **weights), Silent())
    assert load_checkpoint(tmp_path / "run").step == QUICK["steps"]


def test_gaps_of_a_corpus_are_told(corpus, tmp_path):
    told = Told()
    train_motion([corpus / "p0" / "sad_001"], tmp_path / "run", MotionConfig(**QUICK), told)
    assert any("only one person" in line for line in told.warnings)
    assert any("no clip is called neutral" in line for line in told.warnings)
    told = Told()
    neutral = [corpus / f"p{k}" / "neutral_001" for k in range(2)]
    train_motion(neutral, tmp_path / "neutral", MotionConfig(**QUICK), told)
    assert any("all clips are neutral" in line for line in told.warnings)


def test_unusable_data_is_refused(corpus, tmp_path):
    def train(*data, **options):
        train_motion(data, tmp_path / "run", MotionConfig(**QUICK | options), Silent())

    with pytest.raises(InputError, match="60 frames"):
        train(write_motion_clip(tmp_path / "p9" / "sad_001", "sad", 1, frames=50))
    with pytest.raises(InputError, match="sound"):
        train(make_clip(tmp_path / "silent", frames=70, sound=False), eyes=False)
    with pytest.raises(ArtefactError, match="tracker"):
        train(corpus, make_clip(tmp_path / "other", frames=70))
    with pytest.raises(UsageError, match="no person"):
        train(corpus, validation=("nobody",))
    with pytest.raises(UsageError, match="multiple of 8"):
        MotionConfig(hidden=20)
    blind = move_lips(make_clip(tmp_path / "blind", frames=70))
    with pytest.raises(InputError, match="irises"):
        train(blind)
    train(blind, eyes=False)  # gaze stays still
    assert (tmp_path / "run" / MOTION_FILE).is_file()


def test_a_step_that_is_not_finite_ends_the_training(corpus, tmp_path, monkeypatch):
    def losses(model, batch, *rest):
        return motion_losses(model, batch, *rest) | {"flow": batch["lips"].sum() / 0}

    monkeypatch.setattr("jean.train.motion.stage.motion_losses", losses)
    with pytest.raises(DivergedError):
        train_motion([corpus], tmp_path / "run", MotionConfig(**QUICK), Silent())
    assert not (tmp_path / "run" / MOTION_FILE).exists()


def test_agreement_is_found_among_windows_of_the_same_emotion():
    critics = Critics(19, 4, 3)
    vectors, sound = torch.randn(6, 20, 19), torch.randn(6, 20, 4)
    label = torch.tensor([0, 1, 2, 0, 1, 2])
    alone = critics.agreement_losses(vectors, sound, torch.arange(6), torch.ones(6, dtype=torch.bool))
    assert all(float(loss) < 1e-5 for loss in alone)  # no other window of the emotion: nothing to confuse it with
    pairs = critics.agreement_losses(vectors, sound, label, torch.ones(6, dtype=torch.bool))
    assert all(float(loss) > 1e-3 for loss in pairs)


def test_spread_is_compared_over_the_frames_that_count():
    made, true = torch.zeros(1, 4, 1), torch.zeros(1, 4, 1)
    made[0, :, 0] = torch.tensor([1.0, -1.0, 9.0, 9.0])
    true[0, :, 0] = torch.tensor([3.0, -3.0, 0.0, 0.0])
    weight = torch.tensor([1.0, 1.0, 0.0, 0.0])[None, :, None]
    assert spread_loss(made, true, weight).item() == pytest.approx(4.0, abs=1e-3)  # (1 - 3)²
