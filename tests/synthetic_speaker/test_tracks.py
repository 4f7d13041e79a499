"""Speech, motion tracks, and their independence of each other."""

from __future__ import annotations

import numpy as np
import pytest

from jean.errors import UsageError
from jean.synthetic_speaker.controls import CONTROLS, EXPRESSION_MOUTH_CONTROLS, SPEECH_CONTROLS, UPPER_CONTROLS
from jean.synthetic_speaker.face_rig import build_face_rig, deform_skin, mouth_opening, mouth_rounding
from jean.synthetic_speaker.head_shape import HeadShape
from jean.synthetic_speaker.language import DICTIONARY, make_sentence, to_phonemes
from jean.synthetic_speaker.performance import ground_truth, perform
from jean.synthetic_speaker.phonemes import phoneme_table
from jean.synthetic_speaker.speaker_identity import sample_identity
from jean.synthetic_speaker.speaker_motion import EMOTIONS, sample_motion
from jean.synthetic_speaker.speech_synthesis import RATE_HZ, emotion_prosody, pad_silence, schedule_phonemes


@pytest.fixture(scope="module")
def mean_rig():
    return build_face_rig(HeadShape())


def performance_tracks(seed: int, emotion: str):
    """Utterance and motion of a performance, without the sound, which takes most of the time."""
    identity = sample_identity(seed)
    rng = np.random.default_rng(seed)
    sentences = [make_sentence(int(rng.integers(1 << 30))) for _ in range(3)]
    utterance = schedule_phonemes(sentences, identity, emotion_prosody(emotion, 1.0), rng)
    count = int(np.ceil(utterance.duration_s * 25))
    return utterance, sample_motion(utterance, emotion, 1.0, count, 25.0, rng)


def ridge_r2(inputs: list[np.ndarray], targets: list[np.ndarray], penalty: float = 1.0) -> np.ndarray:
    """R² of each target in leave-one-clip-out cross-validation of a ridge regression."""
    residual, total = 0.0, 0.0
    for test_clip in range(len(inputs)):
        x = np.concatenate([v for k, v in enumerate(inputs) if k != test_clip])
        y = np.concatenate([v for k, v in enumerate(targets) if k != test_clip])
        mean, std, target_mean = x.mean(0), x.std(0) + 1e-9, y.mean(0)
        z = (x - mean) / std
        weight = np.linalg.solve(z.T @ z + penalty * np.eye(z.shape[1]), z.T @ (y - target_mean))
        prediction = (inputs[test_clip] - mean) / std @ weight + target_mean
        residual = residual + ((targets[test_clip] - prediction) ** 2).sum(0)
        total = total + ((targets[test_clip] - target_mean) ** 2).sum(0)
    return 1 - residual / np.maximum(total, 1e-12)


def test_speech_controls_cannot_be_predicted_from_expression_and_pose(mean_rig, capsys):
    inputs, targets = [], []
    for k in range(8):
        _, motion = performance_tracks(k, EMOTIONS[k % 4])
        other = [CONTROLS.index(name) for name in UPPER_CONTROLS + EXPRESSION_MOUTH_CONTROLS]
        inputs.append(np.concatenate([motion.controls[:, other], motion.turn_rad, motion.shift_cm], 1)[::3])
        opening = np.array(
            [
                mouth_opening(deform_skin(mean_rig, dict(zip(CONTROLS, row, strict=True)))[mean_rig.landmarks])
                for row in motion.controls[::3]
            ]
        )
        targets.append(np.concatenate([motion.controls[::3, -len(SPEECH_CONTROLS) :], opening[:, None]], 1))
    score = ridge_r2(inputs, targets)
    with capsys.disabled():
        names = [*SPEECH_CONTROLS, "mouth_opening"]
        print(
            "\nR² of speech from expression and pose:",
            {n: round(float(v), 3) for n, v in zip(names, score, strict=True)},
        )
    assert score.max() < 0.1
    # Control: the regression does predict a track that is a mixture of its inputs.
    assert ridge_r2(inputs, [x[:, :1] + x[:, 3:4] for x in inputs]).min() > 0.99


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_lips_are_closed_during_b_p_m(mean_rig, emotion):
    utterance, motion = performance_tracks(5, emotion)
    opening = []
    for name, start, end in zip(utterance.names, utterance.starts_s, utterance.ends_s, strict=True):
        for t in range(len(motion.controls)):
            if name in ("B", "P", "M") and start <= (t + 0.5) / 25 < start + 0.7 * (end - start):
                controls = dict(zip(CONTROLS, motion.controls[t], strict=True))
                opening.append(mouth_opening(deform_skin(mean_rig, controls)[mean_rig.landmarks]))
    assert len(opening) >= 5
    assert max(opening) < 0.004  # of the inter-ocular distance


def test_each_control_moves_its_landmarks_in_its_direction(mean_rig):
    def points(**controls: float) -> np.ndarray:
        return deform_skin(mean_rig, controls)[mean_rig.landmarks]

    neutral = points()
    assert mouth_opening(neutral) < 1e-9
    assert 0.15 < mouth_opening(points(jaw_open=1.0)) < 0.35
    assert mouth_opening(points(jaw_open=0.5, lip_close=1.0)) < 1e-3
    assert mouth_rounding(points(lip_round=1.0), neutral) > 0.25
    assert mouth_rounding(points(lip_spread=1.0), neutral) < -0.1
    assert points(smile=1.0)[48, 1] < neutral[48, 1] - 0.4  # corners up
    assert points(frown=1.0)[48, 1] > neutral[48, 1] + 0.3
    assert points(brow_inner_up=1.0)[21, 1] < neutral[21, 1] - 0.4
    assert points(brow_furrow=1.0)[21, 1] > neutral[21, 1] + 0.3

    def height(p: np.ndarray, upper: list[int], lower: list[int]) -> float:
        return float((p[lower, 1] - p[upper, 1]).mean())

    right = ([37, 38], [41, 40])
    closed = points(blink_right=1.0)
    assert height(closed, *right) < 0.15 * height(neutral, *right)
    assert height(closed, [43, 44], [47, 46]) == pytest.approx(height(neutral, [43, 44], [47, 46]))
    # Speech controls do not move brows and eyes.
    upper = list(range(17, 27)) + list(range(36, 48))
    speech = points(jaw_open=1.0, lip_round=1.0, tongue_up=1.0)
    np.testing.assert_allclose(speech[upper], neutral[upper], atol=0.02)


def test_outer_eye_corners_are_at_their_head_space_positions_for_every_person():
    for seed in range(4):
        rig = build_face_rig(sample_identity(seed).shape)
        corners = deform_skin(rig, {})[rig.landmarks[[36, 45]]]
        assert np.linalg.norm(corners[1] - corners[0]) == pytest.approx(8.89)
        np.testing.assert_allclose(corners.mean(0), [0, -2.66, -3.17], atol=1e-9)


def test_loudness_and_mouth_opening_are_synchronous():
    performance = perform(sample_identity(2), seconds=7.0, seed=2)
    rig = build_face_rig(performance.identity.shape)
    arrays, _ = ground_truth(rig, performance, 256)
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


def test_emotion_changes_pitch_and_speaking_rate():
    identity, sentences = sample_identity(1), [make_sentence(4)]
    length = {
        e: schedule_phonemes(sentences, identity, emotion_prosody(e, 1.0), np.random.default_rng(0)).duration_s
        for e in EMOTIONS
    }
    assert length["sad"] > length["neutral"] > length["angry"]
    assert emotion_prosody("happy", 1.0).pitch > emotion_prosody("happy", 0.5).pitch > emotion_prosody("sad", 1.0).pitch
    assert emotion_prosody("angry", 0.0) == emotion_prosody("neutral", 1.0)


def test_dictionary_uses_all_phonemes_and_sentences_use_the_dictionary():
    table = phoneme_table()
    assert all(name in table for word in DICTIONARY for name in to_phonemes(word))
    assert all(to_phonemes(make_sentence(k)) for k in range(200))
    assert len({make_sentence(k) for k in range(200)}) > 190
    used = {name for word in DICTIONARY for name in to_phonemes(word)}
    assert used | {"SIL"} == set(table)


def test_padding_changes_only_the_last_silence():
    utterance = schedule_phonemes(
        [make_sentence(1)], sample_identity(0), emotion_prosody("neutral", 1.0), np.random.default_rng(0)
    )
    longer = pad_silence(utterance, utterance.duration_s + 1)
    assert longer.duration_s == pytest.approx(utterance.duration_s + 1)
    np.testing.assert_array_equal(longer.starts_s, utterance.starts_s)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sentences": ["we like bananas"]}, "'like'"),
        ({"emotion": "bored"}, "neutral, angry"),
        ({"strength": 2.0}, "outside"),
        ({"seconds": 0.5, "sentences": [make_sentence(0)]}, "Give fewer"),
        ({"seconds": -1.0}, "positive"),
        ({"sentences": [""]}, "no words"),
    ],
)
def test_invalid_arguments_raise_with_a_remedy(arguments, message):
    with pytest.raises(UsageError, match=message):
        perform(sample_identity(0), **arguments)
