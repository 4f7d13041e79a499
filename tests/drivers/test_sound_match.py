"""Pairs of clips whose sound does not agree are found out."""

from __future__ import annotations

import re

import numpy as np
import pytest

from jean.clips.audio_track import AudioTrack
from jean.clips.clip import Clip
from jean.clips.corpus import find_clips, same_sentence_pairs
from jean.clips.meta import AUDIO_FILE
from jean.clips.writer import write_audio_features
from jean.drivers.audio_windows import extract_track
from jean.drivers.sound_match import cost_limit, match_pairs, sound_cost, sound_track
from jean.errors import InputError
from jean.features.audio.logmel import LogMel
from jean.synthetic_speaker.track_clips import performance_of
from jean.synthetic_speaker.video_corpus import plan_corpus
from jean.train.expression.config import ExpressionConfig
from jean.train.expression.pairs import find_pairs
from tests.helpers.tiny_clip import make_clip, rewrite
from tests.helpers.tiny_corpus import make_corpus, make_track_clip


def smooth(seed, count):
    """Random smooth tracks, float64 [count, 5], sampled from the same functions for every count."""
    random = np.random.default_rng(seed)
    times = np.linspace(0, 6, count)[:, None]
    return sum(np.sin(times * random.uniform(1, 4, 5) + random.uniform(0, 6, 5)) for _ in range(3))


def test_a_slower_reading_costs_less_than_another_sentence():
    assert sound_cost(smooth(1, 40), smooth(1, 40)) == 0
    assert sound_cost(smooth(1, 40), smooth(1, 60)) < 0.2 * sound_cost(smooth(1, 40), smooth(2, 40))


def test_the_limit_ignores_a_few_pairs_that_say_the_same():
    wrong = np.random.default_rng(0).normal(4, 0.3, 60)
    limit = cost_limit(wrong)
    assert 3.3 < limit < 3.7  # 4 - 1.645 · 0.3 = 3.51
    assert abs(cost_limit(np.concatenate([wrong, np.full(8, 1.5)])) - limit) < 0.15


def test_pauses_at_the_ends_and_loudness_do_not_count(tmp_path):
    folder = make_track_clip(tmp_path / "a", 0, "sad", 1)
    rows = np.zeros((60, 80), np.float32)
    rows[20:50] = np.random.default_rng(0).random((30, 80)) + 1
    clip = Clip.open(folder, pictures=False)
    features = {}
    for name, values in (("quiet", rows), ("loud", 1.5 * rows), ("early", np.roll(rows, -10, 0))):
        features[name] = AudioTrack(values, np.arange(60) - 8, 16)
    tracks = []
    for track in features.values():
        clip.__dict__["audio_features"] = {"logmel": track}
        tracks.append(sound_track(clip))
    assert tracks[0].shape == (30, 13)
    np.testing.assert_allclose(tracks[1], tracks[0], atol=1e-5)
    np.testing.assert_allclose(tracks[2], tracks[0], atol=1e-5)


EMOTIONS = ("angry", "happy", "neutral", "sad")


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    """Speech of one person, four sentences in four emotions; a table that shifts the numbers of sad by one."""
    root = tmp_path_factory.mktemp("shifted")
    lines = ["file,person,emotion,level,sentence"]
    for item in plan_corpus(root, people=1, sentences=4, emotions=EMOTIONS):
        performance = performance_of(item)
        folder = make_clip(root / f"p0/{item.emotion}_{item.sentence:03d}", frames=performance.frame_count, size=8)
        track = extract_track(LogMel(), performance.wave.astype(np.float32), performance.frame_count, 25.0)
        write_audio_features(folder / AUDIO_FILE, {"logmel": track})
        rewrite(folder)
        said = item.sentence % 4 + 1 if item.emotion == "sad" else item.sentence
        lines.append(f"p0/{folder.name},p0,{item.emotion},1,{said}")
    (root / "corpus.csv").write_text("\n".join(lines) + "\n")
    return root


def test_shifted_numbers_are_refused_and_counted(shifted):
    clips = find_clips([shifted])
    pairs = list(same_sentence_pairs(clips))
    matched = match_pairs(pairs)
    refused = {frozenset((a.name, b.name)) for (a, b), _ in matched.refused}
    wrong = {frozenset((a.name, b.name)) for a, b in pairs if a.name[-3:] != b.name[-3:]}
    assert refused == wrong and len(wrong) == 4 * 3 and len(matched.kept) == 4 * 3 and matched.unchecked == 0
    warnings = []
    found = find_pairs([shifted], ExpressionConfig(), warnings.append)
    assert len(found.train) + len(found.validation) == 12 and found.refused == 12
    assert "12 of 24 pairs are left out" in warnings[0]
    asis = find_pairs([shifted], ExpressionConfig(check_sound=False), warnings.append)
    assert len(asis.train) + len(asis.validation) == 24 and len(warnings) == 1


def test_a_corpus_whose_pairs_all_differ_is_refused(shifted, tmp_path):
    lines = (shifted / "corpus.csv").read_text().splitlines()
    table = tmp_path / "table.csv"
    table.write_text("\n".join(line for line in lines if not re.search("happy|neutral", line)) + "\n")
    with pytest.raises(InputError, match="in none of 4 pairs"):
        find_pairs([shifted], ExpressionConfig(table=table, emotions=("sad", "angry")))


def test_too_few_sentences_are_said_and_not_checked(tmp_path):
    corpus = make_corpus(tmp_path, people=1, sentences=1)
    warnings = []
    found = find_pairs([corpus], ExpressionConfig(), warnings.append)
    assert len(found.train) == 1 and found.unchecked == 1 and "too few different sentences" in warnings[0]
