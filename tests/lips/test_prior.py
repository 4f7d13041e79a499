"""The lip prior that comes with the package."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from jean.errors import ArtefactError
from jean.files import write_safetensors
from jean.lips import prior as prior_module
from jean.lips.prior import (
    AHEAD,
    BACK,
    BILABIALS,
    BUILTIN,
    HOLD_ROWS,
    LIKELY,
    SMOOTHING_S,
    UNLIKELY,
    LipPrior,
    closures,
    load_prior,
)
from jean.lips.spectrum import BANDS, ROWS_HZ, mel_power
from jean.media import RATE_HZ


def test_a_probable_bilabial_closes_the_lips():
    closing = closures(np.repeat([0.0, (UNLIKELY + LIKELY) / 2, 1.0], 20))
    np.testing.assert_allclose(closing[[5, 30, 55]], [0.0, 0.5, 1.0], atol=1e-6)


def test_a_probability_that_only_rises_closes_the_lips_at_its_peak():
    closing = closures(np.concatenate([np.linspace(0, 0.5, 50), np.zeros(10)]))
    assert closing.max() > 0.93 and 2 <= (closing > 0.67).sum() <= HOLD_ROWS and (closing[:43] < 0.01).all()


def test_a_short_closure_is_held_for_a_frame_of_25_per_second():
    bilabial = np.zeros(40)
    bilabial[20] = 0.9
    closing = closures(bilabial)
    closed = closing > 0.75  # below a quarter of the range, the measure of examples/benchmarks/closures.py
    assert closing.max() > 0.93 and closed.sum() >= 4 and closed[19:22].all() and not closed[[10, 30]].any()


def test_a_track_is_closed_where_it_says_so_and_never_opened():
    prior, sound = load_prior(), noise()
    track = prior.track(sound)
    (pieces,) = prior.in_pieces(prior.source.rows(sound, mel_power(sound)))
    free = gaussian_filter1d(pieces[1], SMOOTHING_S * ROWS_HZ, axis=0, mode="nearest")
    np.testing.assert_allclose(track.values[:, 1:], free[:, 1:])
    least = np.quantile(pieces[1][:, 0], 0.02)
    expected = free[:, 0] - track.closing * np.maximum(free[:, 0] - least, 0)
    np.testing.assert_allclose(track.values[:, 0], expected)


def test_the_bilabials_are_the_classes_of_the_training():
    from jean.train.lips.articulation import NAMES

    assert [NAMES[index] for index in BILABIALS] == ["B", "P", "M"]


def noise(seconds=2.0, seed=0):
    return 0.05 * np.random.default_rng(seed).normal(size=int(seconds * RATE_HZ))


def test_the_file_is_small():
    assert BUILTIN.stat().st_size < 2e6


def test_a_track_has_a_hundred_rows_per_second_at_any_level():
    prior = load_prior()
    track = prior.track(noise())
    assert track.values.shape == (200, 5) and track.speaking.all()
    np.testing.assert_allclose(prior.track(noise() * 0.01).values, track.values, atol=0.05)


def test_lips_depend_on_at_most_a_fifth_of_a_second_of_later_sound():
    prior = load_prior()
    spectrum = torch.randn(1, 200, BANDS)
    changed = spectrum.clone()
    changed[:, 119:] += 1.0
    difference = (prior(spectrum)[0] - prior(changed)[0]).abs().sum(-1)[0]
    assert difference[:100].max() == 0 and difference[105:119].max() > 0


def test_a_long_sound_is_computed_in_pieces_without_seams(monkeypatch):
    prior, sound = load_prior(), noise()
    whole = prior.track(sound)
    assert (BACK, AHEAD) == (1 + 3 + 6 + 12, 1 + 3 + 6 + 8)
    for rows in (1, 37, 199):
        monkeypatch.setattr(prior_module, "PIECE_ROWS", rows)
        np.testing.assert_allclose(prior.track(sound).values, whole.values, atol=1e-5)


def test_the_builtin_opens_the_lips_for_vowels_and_closes_them_for_silence_and_bilabials():
    """Words of the project's own voice, with known phoneme times."""
    from jean.synthetic_speaker.speaker_identity import sample_identity
    from jean.synthetic_speaker.speech_synthesis import emotion_prosody, schedule_phonemes, synthesise_speech

    prior, values = load_prior(), {}
    for seed in range(4):
        random, identity, voice = (
            np.random.default_rng(seed),
            sample_identity(900 + seed),
            emotion_prosody("neutral", 0),
        )
        sentence = ["my father", "people", "calm", "apple", "money", "soup", "stop", "warm", "babies", "farm"]
        utterance = schedule_phonemes([" ".join(sentence)], identity, voice, random)
        track = prior.track(synthesise_speech(utterance, identity, voice, random))
        for name, start, end in zip(utterance.names, utterance.starts_s, utterance.ends_s, strict=True):
            values.setdefault(name, []).append(track.at(np.array([(start + end) / 2]))[0])
    opening = {name: np.mean(rows, 0)[0] for name, rows in values.items()}
    width = {name: np.mean(rows, 0)[1] for name, rows in values.items()}
    assert opening["AA"] > opening["IY"] > opening["P"]
    assert opening["AA"] - opening["M"] > 1.0 and opening["AA"] - opening["SIL"] > 1.0  # in standard deviations
    assert width["IY"] > width["UW"] + 1.0


def test_an_empty_sound_has_still_lips():
    assert load_prior().track(np.zeros(10)).values.shape == (1, 5)


def test_files_that_are_no_prior_are_refused(tmp_path):
    path = tmp_path / "prior.safetensors"
    with pytest.raises(ArtefactError):
        load_prior(path)
    write_safetensors(path, {"lips.weight": torch.zeros(2)})
    with pytest.raises(ArtefactError, match="no lip prior"):
        load_prior(path)


def test_weights_survive_half_precision(tmp_path):
    prior = LipPrior()
    write_safetensors(tmp_path / "a.safetensors", {name: value.half() for name, value in prior.state_dict().items()})
    again = load_prior(tmp_path / "a.safetensors")
    assert torch.allclose(again.first.weight, prior.first.weight, atol=1e-3)
