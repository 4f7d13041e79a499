"""What is said, heard and moved: speech, tracks, and that they do not give each other away."""

from __future__ import annotations

import numpy as np
import pytest

from jean.errors import UsageError
from jean.synthetic_speaker.controls import CONTROLS, EXPRESSION_MOUTH_CONTROLS, SPEECH_CONTROLS, UPPER_CONTROLS
from jean.synthetic_speaker.face import build_face, mouth_opening, mouth_rounding, move
from jean.synthetic_speaker.identity import identity
from jean.synthetic_speaker.language import DICTIONARY, sentence, spell
from jean.synthetic_speaker.performance import ground_truth, perform
from jean.synthetic_speaker.phonemes import inventory
from jean.synthetic_speaker.shape import Shape
from jean.synthetic_speaker.speech import RATE_HZ, pad, prosody, schedule
from jean.synthetic_speaker.tracks import EMOTIONS, motion


@pytest.fixture(scope="module")
def mean_face():
    return build_face(Shape())


def performance_tracks(seed: int, emotion: str):
    """Tracks of a clip without its sound (which takes most of the time)."""
    person = identity(seed)
    rng = np.random.default_rng(seed)
    said = [sentence(int(rng.integers(1 << 30))) for _ in range(3)]
    utterance = schedule(said, person, prosody(emotion, 1.0), rng)
    count = int(np.ceil(utterance.duration_s * 25))
    return utterance, motion(utterance, emotion, 1.0, count, 25.0, rng)


def ridge_r2(inputs: list[np.ndarray], targets: list[np.ndarray], penalty: float = 1.0) -> np.ndarray:
    """R² of each target on clips that the regression has not seen, one left out after the other."""
    residual, total = 0.0, 0.0
    for left_out in range(len(inputs)):
        x = np.concatenate([v for k, v in enumerate(inputs) if k != left_out])
        y = np.concatenate([v for k, v in enumerate(targets) if k != left_out])
        mean, spread, level = x.mean(0), x.std(0) + 1e-9, y.mean(0)
        z = (x - mean) / spread
        weight = np.linalg.solve(z.T @ z + penalty * np.eye(z.shape[1]), z.T @ (y - level))
        guess = (inputs[left_out] - mean) / spread @ weight + level
        residual = residual + ((targets[left_out] - guess) ** 2).sum(0)
        total = total + ((targets[left_out] - level) ** 2).sum(0)
    return 1 - residual / np.maximum(total, 1e-12)


def test_mouth_cannot_be_guessed_from_expression_and_pose(mean_face, capsys):
    inputs, targets = [], []
    for k in range(8):
        _, moves = performance_tracks(k, EMOTIONS[k % 4])
        other = [CONTROLS.index(name) for name in UPPER_CONTROLS + EXPRESSION_MOUTH_CONTROLS]
        inputs.append(np.concatenate([moves.controls[:, other], moves.turn_rad, moves.shift_cm], 1)[::3])
        opening = np.array(
            [
                mouth_opening(move(mean_face, dict(zip(CONTROLS, row, strict=True)))[mean_face.landmarks])
                for row in moves.controls[::3]
            ]
        )
        targets.append(np.concatenate([moves.controls[::3, -len(SPEECH_CONTROLS) :], opening[:, None]], 1))
    score = ridge_r2(inputs, targets)
    with capsys.disabled():
        names = [*SPEECH_CONTROLS, "mouth_opening"]
        print(
            "\nR² of speech from expression and pose:",
            {n: round(float(v), 3) for n, v in zip(names, score, strict=True)},
        )
    assert score.max() < 0.1
    # the regression itself works: a track that is a mixture of the inputs is found
    assert ridge_r2(inputs, [x[:, :1] + x[:, 3:4] for x in inputs]).min() > 0.99


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_lips_are_closed_in_b_p_m(mean_face, emotion):
    utterance, moves = performance_tracks(5, emotion)
    opening = []
    for name, start, end in zip(utterance.names, utterance.starts_s, utterance.ends_s, strict=True):
        for t in range(len(moves.controls)):
            if name in ("B", "P", "M") and start <= (t + 0.5) / 25 < start + 0.7 * (end - start):
                controls = dict(zip(CONTROLS, moves.controls[t], strict=True))
                opening.append(mouth_opening(move(mean_face, controls)[mean_face.landmarks]))
    assert len(opening) >= 5
    assert max(opening) < 0.004  # of the inter-ocular distance


def test_controls_do_what_they_say(mean_face):
    def points(**controls: float) -> np.ndarray:
        return move(mean_face, controls)[mean_face.landmarks]

    rest = points()
    assert mouth_opening(rest) < 1e-9
    assert 0.15 < mouth_opening(points(jaw_open=1.0)) < 0.35
    assert mouth_opening(points(jaw_open=0.5, lip_close=1.0)) < 1e-3
    assert mouth_rounding(points(lip_round=1.0), rest) > 0.25
    assert mouth_rounding(points(lip_spread=1.0), rest) < -0.1
    assert points(smile=1.0)[48, 1] < rest[48, 1] - 0.4  # corners up
    assert points(frown=1.0)[48, 1] > rest[48, 1] + 0.3
    assert points(brow_inner_up=1.0)[21, 1] < rest[21, 1] - 0.4
    assert points(brow_furrow=1.0)[21, 1] > rest[21, 1] + 0.3

    def height(p: np.ndarray, upper: list[int], lower: list[int]) -> float:
        return float((p[lower, 1] - p[upper, 1]).mean())

    right = ([37, 38], [41, 40])
    closed = points(blink_right=1.0)
    assert height(closed, *right) < 0.15 * height(rest, *right)
    assert height(closed, [43, 44], [47, 46]) == pytest.approx(height(rest, [43, 44], [47, 46]))
    # speech leaves brows and eyes where they are
    upper = list(range(17, 27)) + list(range(36, 48))
    spoken = points(jaw_open=1.0, lip_round=1.0, tongue_up=1.0)
    np.testing.assert_allclose(spoken[upper], rest[upper], atol=0.02)


def test_every_person_has_the_outer_corners_of_the_eyes_where_head_space_says():
    for seed in range(4):
        face = build_face(identity(seed).shape)
        corners = move(face, {})[face.landmarks[[36, 45]]]
        assert np.linalg.norm(corners[1] - corners[0]) == pytest.approx(8.89)
        np.testing.assert_allclose(corners.mean(0), [0, -2.66, -3.17], atol=1e-9)


def test_sound_and_lips_agree_in_time():
    performance = perform(identity(2), seconds=7.0, seed=2)
    face = build_face(performance.person.shape)
    arrays, _ = ground_truth(face, performance, 256)
    count = performance.frame_count
    assert count == 175 and len(performance.wave) == 7 * RATE_HZ
    frames = performance.wave.reshape(count, -1)
    loudness = np.sqrt((frames**2).mean(1))
    lags = [np.corrcoef(np.roll(loudness, k), arrays["mouth_opening"])[0, 1] for k in range(-4, 5)]
    assert lags[4] > 0.6
    assert abs(int(np.argmax(lags)) - 4) <= 1
    silent = loudness < 0.005
    assert silent.any() and arrays["mouth_opening"][silent].mean() < 0.01
    assert np.isfinite(performance.wave).all() and np.abs(performance.wave).max() <= 1


def test_emotion_changes_voice_and_pace():
    person, said = identity(1), [sentence(4)]
    length = {e: schedule(said, person, prosody(e, 1.0), np.random.default_rng(0)).duration_s for e in EMOTIONS}
    assert length["sad"] > length["neutral"] > length["angry"]
    assert prosody("happy", 1.0).pitch > prosody("happy", 0.5).pitch > prosody("sad", 1.0).pitch
    assert prosody("angry", 0.0) == prosody("neutral", 1.0)


def test_dictionary_uses_known_phonemes_and_sentences_use_the_dictionary():
    table = inventory()
    assert all(name in table for word in DICTIONARY for name in spell(word))
    assert all(spell(sentence(k)) for k in range(200))
    assert len({sentence(k) for k in range(200)}) > 190
    heard = {name for word in DICTIONARY for name in spell(word)}
    assert heard | {"SIL"} == set(table)


def test_a_longer_silence_changes_nothing_else():
    utterance = schedule([sentence(1)], identity(0), prosody("neutral", 1.0), np.random.default_rng(0))
    longer = pad(utterance, utterance.duration_s + 1)
    assert longer.duration_s == pytest.approx(utterance.duration_s + 1)
    np.testing.assert_array_equal(longer.starts_s, utterance.starts_s)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"sentences": ["we like bananas"]}, "'like'"),
        ({"emotion": "bored"}, "neutral, angry"),
        ({"strength": 2.0}, "outside"),
        ({"seconds": 0.5, "sentences": [sentence(0)]}, "Give fewer"),
        ({"seconds": -1.0}, "positive"),
        ({"sentences": [""]}, "no words"),
    ],
)
def test_bad_requests_say_what_to_do(arguments, says):
    with pytest.raises(UsageError, match=says):
        perform(identity(0), **arguments)
