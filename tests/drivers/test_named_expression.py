"""Names, strengths, ways from one to another, timelines; the silence gate and calm poses."""

from __future__ import annotations

import numpy as np
import pytest

from jean.drivers.named_expression import parse, read_timeline, vectors
from jean.errors import InputError, UsageError

MEANS = {"neutral": np.array([1.0, 0.0]), "happy": np.array([3.0, 2.0]), "sad": np.array([1.0, -4.0])}
NOWHERE = np.array([9.0, 9.0])


def at(text: str, times: list[float], length: float = 2.0) -> list[list[float]]:
    return vectors(parse(text, length), MEANS, NOWHERE, np.array(times)).tolist()


def test_strength_begins_at_neutral():
    assert at("happy", [0.0, 1.0]) == [[3.0, 2.0], [3.0, 2.0]]
    assert at("happy:0.5", [0.0]) == [[2.0, 1.0]]
    assert at("sad:0", [0.0]) == [[1.0, 0.0]]
    without = vectors(parse("happy:0.5", 1), {"happy": MEANS["happy"]}, np.zeros(2), np.array([0.0]))
    assert without.tolist() == [[1.5, 1.0]]  # no neutral clip: the mean of what is there


def test_one_becomes_the_other():
    assert at("sad..happy", [0.0, 1.0, 2.0]) == [[1.0, -4.0], [2.0, -1.0], [3.0, 2.0]]
    assert at("happy:0.5..happy:1.5", [1.0]) == [[3.0, 2.0]]


def test_a_timeline_is_linear_in_between_and_held_beyond(tmp_path):
    path = tmp_path / "line.csv"
    path.write_text("time_s,expression,strength\n1,happy,1\n2,sad,0.5\n")
    found = vectors(read_timeline(path), MEANS, NOWHERE, np.array([0.0, 1.0, 1.5, 2.0, 9.0]))
    assert found.tolist() == [[3, 2], [3, 2], [2, 0], [1, -2], [1, -2]]
    (tmp_path / "clip").mkdir()
    path.write_text(f"time_s,expression\n0,{tmp_path / 'clip'}\n")
    found = vectors(read_timeline(path), MEANS, NOWHERE, np.zeros(1), lambda folder: np.array([5.0, 5.0]))
    assert found.tolist() == [[5, 5]]


@pytest.mark.parametrize("text", ["happy:much", "a..b..c", "happy:3", "happy:-1", "happy:nan"])
def test_what_is_no_expression_is_refused(text):
    with pytest.raises(UsageError):
        parse(text, 1.0)


def test_unknown_names_are_answered_with_the_known():
    with pytest.raises(UsageError, match="angry") as caught:
        at("angry", [0.0])
    assert "happy, neutral, sad" in caught.value.remedy


@pytest.mark.parametrize(
    "text", ["t,e\n0,happy\n", "time_s,expression\n", "time_s,expression\n2,sad\n1,sad\n", "time_s,expression\nx,sad\n"]
)
def test_wrong_timelines_are_refused(tmp_path, text):
    (tmp_path / "line.csv").write_text(text)
    with pytest.raises(InputError):
        read_timeline(tmp_path / "line.csv")
