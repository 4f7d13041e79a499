"""Cohesive motion of the synthetic speaker: the rules hold, and without cohesion nothing changes."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from jean.clips.clip import Clip
from jean.errors import UsageError
from jean.synthetic_speaker.cohesive_motion import RULES, blink_shape, cohesive_tracks, rule, stressed_vowels
from jean.synthetic_speaker.language import make_sentence
from jean.synthetic_speaker.motion_corpus import plan_motion_corpus, write_motion_corpus
from jean.synthetic_speaker.performance import perform
from jean.synthetic_speaker.speaker_identity import sample_identity
from jean.synthetic_speaker.speech_synthesis import emotion_prosody, schedule_phonemes

CLIPS = 60


@pytest.mark.parametrize(("emotion", "digest"), [("neutral", "c146eeb122ca3fdc"), ("sad", "8952bdb1da326fa3")])
def test_without_cohesion_the_motion_is_as_before(emotion, digest):
    motion = perform(sample_identity(3), emotion, 1.0, None, 2.6, 25.0, 7).motion
    values = np.concatenate([motion.controls.ravel(), motion.turn_rad.ravel(), motion.shift_cm.ravel()])
    assert hashlib.sha256(values.round(6).astype("<f4").tobytes()).hexdigest()[:16] == digest
    assert motion.cohesive is None


@pytest.fixture(scope="module")
def performed():
    """(utterance, tracks) of many sentences at full strength, by emotion."""
    found = {}
    for emotion in RULES:
        pairs = []
        for k in range(CLIPS):
            rng = np.random.default_rng(k)
            sentences = [make_sentence(3 * k + n) for n in range(3)]
            utterance = schedule_phonemes(sentences, sample_identity(k), emotion_prosody(emotion, 1.0), rng)
            times = (np.arange(int(utterance.duration_s * 25)) + 0.5) / 25
            pairs.append((utterance, cohesive_tracks(utterance, emotion, 1.0, 1.0, times, rng)))
        found[emotion] = pairs
    return found


@pytest.mark.parametrize("emotion", list(RULES))
def test_the_rules_hold(performed, emotion):
    own, pairs = RULES[emotion], performed[emotion]
    chance = sum(len(t.nods_s) for _, t in pairs) / sum(len(stressed_vowels(u)) for u, _ in pairs)
    assert chance == pytest.approx(own.nod_chance, abs=0.05)
    met = np.concatenate([np.abs(t.fixations[:, 1:]).max(1) < 0.2 for _, t in pairs])
    assert met.mean() == pytest.approx(own.direct, abs=0.12)
    seconds = sum(u.duration_s for u, _ in pairs)
    assert seconds / sum(len(t.fixations) for _, t in pairs) == pytest.approx(own.fixation_s, rel=0.15)
    blinks = sum(len(t.blinks_s) for _, t in pairs) * 60 / seconds
    # pauses, shifts of gaze and the time that a blink itself takes change the rate
    assert 0.6 * own.blinks_per_min < blinks < 1.5 * own.blinks_per_min


def test_blinks_come_in_pauses(performed):
    blinks, seconds = np.zeros(2), np.zeros(2)  # in speech, in pauses
    for utterance, tracks in performed["neutral"]:
        for name, start, end in zip(utterance.names, utterance.starts_s, utterance.ends_s, strict=True):
            if start > 1.5:  # the first blink of a clip comes after up to a second
                seconds[int(name == "SIL")] += end - start
                blinks[int(name == "SIL")] += ((tracks.blinks_s >= start) & (tracks.blinks_s < end)).sum()
    rates = blinks / seconds
    assert rates[1] > 1.4 * rates[0]


def test_half_cohesion_lies_between(performed):
    half = rule("sad", 0.5)
    assert half.pitch_rad == pytest.approx(0.055) and half.blink_s == pytest.approx(0.345)
    assert rule("sad", 0.0) == RULES["neutral"]
    with pytest.raises(UsageError, match="cohesion"):
        perform(sample_identity(3), "sad", 1.0, None, 2.6, cohesion=1.5)


def test_a_blink_closes_and_opens():
    shape = blink_shape(np.array([-0.1, 0.0, 0.04, 0.08, 0.12, 0.27, 0.4]), 0.27)
    assert shape.tolist() == pytest.approx([0, 0, 0.5, 1, 1, 0, 0])


def test_a_corpus_is_described_and_kept(tmp_path):
    items = plan_motion_corpus(tmp_path, people=1, clips=1)[:2]
    assert len(plan_motion_corpus(tmp_path, people=2, clips=3)) == 2 * 4 * 3
    first, second = write_motion_corpus(tmp_path, items)
    meta = Clip.open(first, pictures=False).meta
    assert meta.synthetic is not None and meta.synthetic.cohesion == 1.0 and meta.audio is None
    assert (tmp_path / "corpus.csv").read_text().count("\n") == 3
    before = (second / "clip.json").stat().st_mtime_ns
    write_motion_corpus(tmp_path, items)
    assert (second / "clip.json").stat().st_mtime_ns == before
