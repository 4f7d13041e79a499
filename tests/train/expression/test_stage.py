"""``train-expr`` on a synthetic corpus: pairs, splits, learning, resuming, rejected data."""

from __future__ import annotations

import numpy as np
import pytest

from jean.checkpoint import load_checkpoint
from jean.clips.corpus import find_clips, same_sentence_pairs
from jean.drivers.emotion import centred_windows, emotion_track, pair_windows
from jean.drivers.time_warp import exact_path
from jean.errors import ArtefactError, InputError, UsageError
from jean.models.stored import load_expression_transformer
from jean.progress import Silent
from jean.train.expression.config import ExpressionConfig
from jean.train.expression.pairs import split_pairs
from jean.train.expression.stage import ExpressionStage, train_expression
from tests.helpers.interrupted import interrupted_at
from tests.helpers.tiny_corpus import EMOTION_WIDTH, make_corpus

SMALL = {"width": 8, "hidden": 16, "heads": 4, "layers": 1, "feedforward": 16, "device": "cpu", "dtw": "exact"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(
        tmp_path_factory.mktemp("corpus"), people=1, sentences=3, emotions=("happy", "sad", "angry", "neutral")
    )


def test_pairs_are_aligned_and_cut_into_windows(corpus):
    pairs = list(same_sentence_pairs(find_clips([corpus])))
    assert len(pairs) == 3 * 6
    windows, description = pair_windows(pairs[:2], "toy", 8, exact_path)
    assert description == {"name": "toy", "version": "1", "width": EMOTION_WIDTH, "network": True}
    first, second, path = windows.pairs[0]
    a, b = windows.at(np.array([5]))
    assert np.array_equal(a[0], windows.features[first][path[5:13, 0]])
    assert np.array_equal(b[0], windows.features[second][path[5:13, 1]])
    assert len(windows) == sum(len(path) - 7 for _, _, path in windows.pairs)


def test_60_of_84_pairs_train_and_the_others_validate(corpus):
    pairs = list(same_sentence_pairs(find_clips([corpus]))) * 5
    train, validation = split_pairs(pairs[:84], ExpressionConfig())
    assert (len(train), len(validation)) == (60, 24)
    train, validation = split_pairs(pairs[:18], ExpressionConfig())
    assert (len(train), len(validation)) == (13, 5)
    train, validation = split_pairs(pairs[:18], ExpressionConfig(held_out=("002",)))
    assert {a.sentence for a, _ in validation} == {"002"} and "002" not in {a.sentence for a, _ in train}
    with pytest.raises(UsageError, match="999"):
        split_pairs(pairs, ExpressionConfig(held_out=("999",)))


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["small", "disentangled"])
def test_training_learns_to_exchange_expressions(corpus, tmp_path, preset):
    config = ExpressionConfig(preset=preset, steps=150, batch=32, **SMALL)
    result = train_expression([corpus], tmp_path / "run", config, Silent())
    assert result["variant"] == "jean" and result["emotion_features"] == "toy"
    assert result["swap_error"] < 0.5 * min(result["mean_error"], result["other_error"])
    stored = load_expression_transformer(tmp_path / "run")
    assert stored.meta["emotion"]["name"] == "toy" and stored.meta["person"] == "p0"
    clip = find_clips([corpus])[0].open()
    lip, expression = stored.model.embed_track(emotion_track(clip, "toy")[0])
    assert lip.shape == expression.shape == (clip.frame_count, 8)


def test_an_interrupted_run_ends_with_the_same_weights(corpus, tmp_path):
    config = ExpressionConfig(preset="disentangled", steps=20, batch=16, **SMALL)
    whole = train_expression([corpus], tmp_path / "whole", config, Silent())
    with interrupted_at(ExpressionStage, 13):
        train_expression([corpus], tmp_path / "broken", config, Silent())
    resumed = train_expression([corpus], tmp_path / "broken", config, Silent())
    assert load_checkpoint(tmp_path / "whole").content_hash == load_checkpoint(tmp_path / "broken").content_hash
    assert {key for key in whole if whole[key] != resumed[key]} <= {"seconds"}


def test_blendshapes_are_reported_as_variant_d(corpus, tmp_path):
    warnings = []

    class Recorder(Silent):
        def warn(self, message):
            warnings.append(message)

    config = ExpressionConfig(preset="small", emotion_features="blendshapes", steps=2, **SMALL)
    result = train_expression([corpus], tmp_path / "run", config, Recorder())
    assert result["variant"] == "d" and any("variant (d)" in message for message in warnings)
    assert load_expression_transformer(tmp_path / "run").meta["variant"] == "d"


def test_unsuitable_data_is_rejected(corpus, tmp_path):
    quick = ExpressionConfig(preset="small", steps=2, **SMALL)
    with pytest.raises(ArtefactError, match="has no emoca emotion features"):
        train_expression([corpus], tmp_path / "a", quick.model_copy(update={"emotion_features": "emoca"}), Silent())
    one = make_corpus(tmp_path / "one", people=1, sentences=2, emotions=("happy",), frames=12)
    with pytest.raises(InputError, match="no sentence"):
        train_expression([one], tmp_path / "b", quick, Silent())
    two = make_corpus(tmp_path / "two", people=2, sentences=1, frames=12)
    with pytest.raises(UsageError, match="2 people"):
        train_expression([two], tmp_path / "c", quick, Silent())
    result = train_expression([two], tmp_path / "c", quick.model_copy(update={"person": "p1"}), Silent())
    assert result["train_pairs"] == 1
    with pytest.raises(ArtefactError, match="settings"):
        train_expression([two], tmp_path / "c", quick.model_copy(update={"person": "p0"}), Silent())


def test_element_half_of_a_window_is_the_frame_itself():
    track = np.arange(10.0)[:, None]
    windows = centred_windows(track, 8)[..., 0]
    assert windows[5].tolist() == [1, 2, 3, 4, 5, 6, 7, 8] and (windows[:, 4] == np.arange(10)).all()
    assert windows[0].tolist() == [0, 0, 0, 0, 0, 1, 2, 3] and windows[9].tolist() == [5, 6, 7, 8, 9, 9, 9, 9]
