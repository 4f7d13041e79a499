"""What ``train-expr`` says about its embeddings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jean.clips.corpus import find_clips
from jean.drivers.emotion import pair_windows, sound_rows
from jean.drivers.time_warp import exact_path
from jean.errors import InputError
from jean.models.expression_transformer import ExpressionTransformer
from jean.progress import Silent
from jean.train.expression import stage as stages
from jean.train.expression.config import ExpressionConfig
from jean.train.expression.report import LEAK, leak_report, shared_directions, split_sentences, warnings
from jean.train.expression.stage import train_expression
from tests.helpers.tiny_corpus import EMOTION_WIDTH, make_corpus, speech_track
from tests.helpers.tiny_stage import Recorder

SMALL = {"width": 8, "hidden": 16, "heads": 4, "layers": 1, "feedforward": 16, "device": "cpu", "dtw": "exact"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    return make_corpus(folder, people=1, sentences=4, emotions=("happy", "sad", "angry"), frames=100)


class Reader(ExpressionTransformer):
    """A stand-in whose e_e is computed by hand from the features."""

    def __init__(self, embed):
        super().__init__(features=EMOTION_WIDTH, width=4, hidden=8, heads=4, layers=1, feedforward=8)
        self.embed = embed

    def embed_track(self, track, batch=512):
        return track, self.embed(track)


def test_speech_that_e_e_tells_is_reported_and_a_mean_over_a_second_loses_it(corpus):
    clips = find_clips([corpus])
    report = leak_report(clips, Reader(lambda track: track), "toy")  # the features tell speech and emotion
    assert report["mouth_kernel_r2"] > 0.7 and report["emotion_accuracy"] > 0.9
    assert report["slow_mouth_kernel_r2"] < 0.3
    lines = warnings(report | {"shared_directions": 3, "largest_shared_correlation": 0.9})
    assert len(lines) == 2 and "expression_window_s" in lines[0] and "lips" in lines[0]


def test_a_blind_e_e_tells_nothing_and_is_not_warned_of(corpus):
    random = np.random.default_rng(0)
    report = leak_report(find_clips([corpus]), Reader(lambda track: random.standard_normal((len(track), 4))), "toy")
    assert max(report["mouth_kernel_r2"], report["mouth_r2"], report["sound_kernel_r2"]) < LEAK
    assert report["emotion_accuracy"] < 0.6
    assert warnings(report | {"shared_directions": 1, "largest_shared_correlation": 0.7}) == []
    assert len(warnings(report | {"shared_directions": 0, "largest_shared_correlation": 0.2})) == 1


def test_no_sentence_is_in_both_sides_of_the_probes(corpus):
    train, test = split_sentences(find_clips([corpus]))
    assert {clip.sentence for clip in test} == {"004"} and len(train) == 9
    assert split_sentences([clip for clip in train if clip.sentence == "001"]) == ([], [])


def test_shared_directions_are_counted_by_hand():
    assert shared_directions(np.array([0.9, 0.61, 0.6, -0.3])) == {
        "shared_directions": 2,
        "largest_shared_correlation": 0.9,
    }


def test_training_reports_and_refuses_to_disentangle_pairs_that_share_nothing(corpus, tmp_path, monkeypatch):
    recorder = Recorder()
    config = ExpressionConfig(preset="small", steps=3, batch=8, **SMALL)
    result = train_expression([corpus], tmp_path / "run", config, recorder)
    assert {"shared_directions", "mouth_kernel_r2", "slow_mouth_kernel_r2", "emotion_accuracy"} <= set(result)
    monkeypatch.setattr(stages, "MIN_CORRELATION", 1.1)
    with pytest.raises(InputError, match="share nothing"):
        train_expression([corpus], tmp_path / "b", config.model_copy(update={"disentangle": True}), Silent())


def test_pairs_are_aligned_on_their_sound_where_the_features_do_not_show_speech(tmp_path):
    folder = make_corpus(tmp_path, people=1, sentences=1, emotions=("happy", "sad"), frames=60)
    a, b = find_clips([folder])
    windows, _ = pair_windows([(a, b)], "toy", 8, exact_path, None, sound_rows)
    path = windows.pairs[0][2]
    truth = speech_track(1, 60)
    assert np.corrcoef(truth[path[:, 0]], truth[path[:, 1]])[0, 1] > 0.99
    rows = sound_rows(a.open())
    assert rows.shape == (60, 80) and np.abs(rows.mean(0)).max() < 1e-6
    assert torch.isfinite(torch.from_numpy(rows)).all()


def test_erased_speech_is_told_by_no_line_and_the_emotion_stays(corpus, tmp_path):
    results = {}
    for erase in (False, True):
        config = ExpressionConfig(preset="small", steps=30, batch=16, erase_speech=erase, **SMALL)
        results[erase] = train_expression([corpus], tmp_path / str(erase), config, Silent())
    assert results[False]["mouth_r2"] > 0.2 and results[True]["mouth_r2"] < 0.5 * results[False]["mouth_r2"]
    assert results[True]["emotion_accuracy"] > 0.9
