"""Named expressions: strengths, transitions and timelines."""

from __future__ import annotations

import numpy as np
import pytest

from jean.drivers.named_expression import expression_vectors, parse_expression, read_timeline
from jean.errors import InputError, UsageError

MEANS = {"neutral": np.array([1.0, 0.0]), "happy": np.array([3.0, 2.0]), "sad": np.array([1.0, -4.0])}
UNUSED_NEUTRAL = np.array([9.0, 9.0])


def at(text: str, times: list[float], length: float = 2.0) -> list[list[float]]:
    return expression_vectors(parse_expression(text, length), MEANS, UNUSED_NEUTRAL, np.array(times)).tolist()


def test_strength_is_measured_from_neutral():
    assert at("happy", [0.0, 1.0]) == [[3.0, 2.0], [3.0, 2.0]]
    assert at("happy:0.5", [0.0]) == [[2.0, 1.0]]
    assert at("sad:0", [0.0]) == [[1.0, 0.0]]


def test_without_a_neutral_mean_the_given_vector_is_neutral():
    keys = parse_expression("happy:0.5", 1)
    assert expression_vectors(keys, {"happy": MEANS["happy"]}, np.zeros(2), np.zeros(1)).tolist() == [[1.5, 1.0]]


def test_a_transition_is_linear_over_the_whole_length():
    assert at("sad..happy", [0.0, 1.0, 2.0]) == [[1.0, -4.0], [2.0, -1.0], [3.0, 2.0]]
    assert at("happy:0.5..happy:1.5", [1.0]) == [[3.0, 2.0]]


def test_a_timeline_is_linear_between_rows_and_constant_beyond(tmp_path):
    path = tmp_path / "line.csv"
    path.write_text("time_s,expression,strength\n1,happy,1\n2,sad,0.5\n")
    vectors = expression_vectors(read_timeline(path), MEANS, UNUSED_NEUTRAL, np.array([0.0, 1.0, 1.5, 2.0, 9.0]))
    assert vectors.tolist() == [[3, 2], [3, 2], [2, 0], [1, -2], [1, -2]]


def test_a_timeline_may_name_a_clip_folder(tmp_path):
    path = tmp_path / "line.csv"
    (tmp_path / "clip").mkdir()
    path.write_text(f"time_s,expression\n0,{tmp_path / 'clip'}\n")
    keys = read_timeline(path)
    vectors = expression_vectors(keys, MEANS, UNUSED_NEUTRAL, np.zeros(1), lambda folder: np.array([5.0, 5.0]))
    assert vectors.tolist() == [[5, 5]]


@pytest.mark.parametrize("text", ["happy:much", "a..b..c", "happy:3", "happy:-1", "happy:nan"])
def test_malformed_expressions_are_refused(text):
    with pytest.raises(UsageError):
        parse_expression(text, 1.0)


def test_the_error_for_an_unknown_name_lists_the_known_names():
    with pytest.raises(UsageError, match="angry") as caught:
        at("angry", [0.0])
    assert "happy, neutral, sad" in caught.value.remedy


@pytest.mark.parametrize(
    "text", ["t,e\n0,happy\n", "time_s,expression\n", "time_s,expression\n2,sad\n1,sad\n", "time_s,expression\nx,sad\n"]
)
def test_malformed_timelines_are_refused(tmp_path, text):
    (tmp_path / "line.csv").write_text(text)
    with pytest.raises(InputError):
        read_timeline(tmp_path / "line.csv")
