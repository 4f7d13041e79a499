"""Retrieval and offsets of embeddings with known answers."""

from __future__ import annotations

import numpy as np

from jean.drivers.voice import voiced
from jean.metrics.lip_sync.retrieval import best_offset, offset_curve, planted_offset_errors, retrieval_ranks


def embeddings(frames: int = 200, width: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, width))


def ranks_of(audio: np.ndarray, mouth: np.ndarray, **options) -> np.ndarray:
    count = len(audio)
    frame = np.arange(count)
    defaults = {"voiced": np.ones(count, bool), "person": np.zeros(count, int), "clip": np.zeros(count, int)}
    given = defaults | options
    return retrieval_ranks(audio, mouth, given["person"], given["clip"], frame, given["voiced"], 25.0)


def test_equal_embeddings_rank_first_and_random_ones_at_chance():
    audio = embeddings()
    assert (ranks_of(3 * audio, audio) == 0).all()
    random = ranks_of(audio, embeddings(seed=1))
    assert abs((random == 0).mean() - 1 / 32) < 0.05 and abs(random.mean() - 15.5) < 2


def test_constant_embeddings_rank_last():
    assert (ranks_of(np.ones((200, 4)), np.ones((200, 4))) == 31).all()


def test_distractors_are_distant_voiced_frames_of_the_same_person():
    # neighbours within 0.3 s (7.5 frames) are copies: as distractors they would tie
    audio = np.repeat(embeddings(40), 5, 0)
    assert (ranks_of(audio, audio) == 0).all()
    silent = np.arange(200) % 2 == 0
    assert len(ranks_of(audio, audio, voiced=~silent)) == 100
    two = np.repeat([0, 1], 100)
    both = np.concatenate([embeddings(100)] * 2)  # the other person sounds the same
    assert (ranks_of(both, both, person=two, clip=two) == 0).all()
    assert len(ranks_of(both[:30], both[:30])) == 0  # too little speech


def test_a_span_of_five_frames_resolves_ties_of_single_frames():
    # every frame is one of four mouths: alone it has many equals, in a row of five it has few
    kinds = np.random.default_rng(3).integers(0, 4, 200)
    audio = np.eye(4)[kinds]
    frame, zero = np.arange(200), np.zeros(200, int)
    one, five = (
        retrieval_ranks(audio, audio, zero, zero, frame, np.ones(200, bool), 25.0, span=span) for span in (1, 5)
    )
    assert (one == 0).mean() < 0.05 and (five == 0).mean() > 0.9
    assert len(one) == 200 and len(five) == 196  # the first and last two have no whole row
    broken = np.where(frame < 100, frame, frame + 5)  # frames without a face are missing in between
    assert len(retrieval_ranks(audio, audio, zero, zero, broken, np.ones(200, bool), 25.0, span=5)) == 192


def test_the_offset_has_the_right_sign():
    mouth = embeddings()
    for shift in (-7, 0, 4):
        curve = offset_curve(np.roll(mouth, shift, 0), mouth, np.ones(200, bool))
        assert best_offset(curve) == shift
    assert planted_offset_errors(mouth, mouth, np.ones(200, bool)) == [0] * 11
    late = np.roll(mouth, 2, 0)  # the clip's own sound comes two frames late
    assert set(planted_offset_errors(late, mouth, np.ones(200, bool))) == {2}
    assert planted_offset_errors(mouth[:12], mouth[:12], np.ones(12, bool)) == []


def test_silence_is_not_speech():
    wave = np.zeros(32000, np.float32)
    wave[8000:24000] = 0.2 * np.sin(np.arange(16000))
    found = voiced(wave, 50, 25.0)
    assert found[14:36].all() and not found[:10].any() and not found[40:].any()
    assert not voiced(np.zeros(16000, np.float32), 25, 25.0).any()
