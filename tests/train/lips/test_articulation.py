"""Lip targets of timed phonemes."""

from __future__ import annotations

import numpy as np
import pytest

from jean.lips.parameters import PARAMETERS
from jean.train.lips.articulation import NAMES, lip_targets, phoneme_classes


def utterance(names, seconds=0.1):
    ends = np.cumsum([0.3, *[seconds] * len(names), 0.3])
    starts = ends - np.array([0.3, *[seconds] * len(names), 0.3])
    return list(zip(("SIL", *names, "SIL"), starts.tolist(), ends.tolist(), strict=True))


def value(names, parameter, number, seconds=0.1):
    """A parameter in the middle of phoneme ``number`` of an utterance."""
    segments = utterance(names, seconds)
    _, start, end = segments[number + 1]
    return lip_targets(segments, 200)[round((start + end) / 2 * 100), PARAMETERS.index(parameter)]


@pytest.mark.parametrize("consonant", ["P", "B", "M"])
@pytest.mark.parametrize("vowel", ["AA", "IY", "UW"])
def test_bilabials_close_the_lips_between_any_vowels(consonant, vowel):
    assert value([vowel, consonant, vowel], "opening", 1) < 0.15 * value([vowel, "T", vowel], "opening", 1)


def test_tongue_sounds_leave_the_lips_to_the_vowels():
    between = {vowel: value([vowel, "T", vowel], "rounding", 1) for vowel in ("UW", "IY")}
    assert between["UW"] > 0.6 and between["IY"] < 0.1


def test_vowels_differ_as_they_do_on_faces():
    opening = {name: value([name], "opening", 0, 0.2) for name in ("AA", "IY", "UW")}
    width = {name: value([name], "width", 0, 0.2) for name in ("AA", "IY", "UW")}
    assert opening["AA"] > 2 * opening["IY"] and opening["AA"] > 2 * opening["UW"]
    assert width["IY"] > width["AA"] > width["UW"]


def test_f_tucks_the_lower_lip():
    assert value(["AA", "F", "AA"], "tuck", 1) > 0.7 > 0.2 > value(["AA", "S", "AA"], "tuck", 1)


def test_lips_round_before_the_vowel_sounds():
    """In "stew" the lips are round during s and t; after "seat" they are not."""
    before, after = value(["S", "T", "UW"], "rounding", 0), value(["UW", "T", "S"], "rounding", 2)
    assert before > after > 0


def test_silence_closes_the_lips_and_tracks_are_smooth():
    targets = lip_targets(utterance(["HH", "AH", "L", "OW"]), 150)
    assert targets[5, 0] < 0.02
    assert np.abs(np.diff(targets, axis=0)).max() < 0.2


def test_classes_name_the_phoneme_of_each_row():
    classes = phoneme_classes(utterance(["P", "AA"]), 90)
    assert [NAMES[classes[row]] for row in (10, 35, 45, 60, 85)] == ["SIL", "P", "AA", "SIL", "SIL"]
