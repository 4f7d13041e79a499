"""Names, strengths, ways from one to another, timelines; the silence gate and calm poses."""

from __future__ import annotations

import numpy as np
import pytest

from jean.drivers.filters import calmed, silence_gate, speech_gate
from jean.drivers.named_expression import parse, read_timeline, vectors
from jean.errors import InputError, UsageError
from jean.features.audio.logmel import LogMel
from jean.geometry import make_pose, rotation_matrix

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


def test_the_gate_closes_in_pauses_and_not_in_closures():
    speaking = np.zeros(60, bool)
    speaking[10:20] = speaking[23:40] = True  # three frames in between: a closure
    gate = speech_gate(speaking, 25.0)
    assert (gate[10:40] == 1).all() and (gate[:6] == 0).all() and (gate[44:] == 0).all()
    assert (np.diff(gate[6:11]) > 0).all() and (np.diff(gate[39:44]) < 0).all()
    assert (speech_gate(np.zeros(5, bool), 25.0) == 0).all() and (speech_gate(np.ones(5, bool), 25.0) == 1).all()


def test_silence_sounds_like_silence():
    random = np.random.default_rng(0)
    wave = np.zeros(32000, np.float32)
    wave[8000:24000] = 0.3 * np.sin(np.arange(16000) / 5)
    wave += 1e-4 * random.standard_normal(32000).astype(np.float32)
    windows = random.random((50, 16, 80)).astype(np.float32)
    gated = silence_gate(windows, wave, LogMel(), 25.0)
    assert np.array_equal(gated[20:30], windows[20:30])
    assert np.abs(gated[:5]).max() < 1e-6 and np.abs(gated[-5:]).max() < 1e-6  # zero is silence in log-mel


def test_calm_keeps_what_is_slow():
    times = np.arange(100) / 25
    slow, quick = 0.3 * np.sin(times), 0.05 * np.sin(2 * np.pi * 6 * times)
    turned = [rotation_matrix(np.array([0.0, y, 0.0])) for y in slow + quick]
    poses = np.stack([make_pose(r, np.array([x, 0.0, 50.0])) for x, r in zip(slow, turned, strict=True)])
    found = calmed(poses, 0.12, 25.0)
    yaw = np.arctan2(found[:, 0, 2], found[:, 2, 2])
    assert np.abs(yaw - slow)[10:-10].max() < 0.01 and np.abs(found[10:-10, 0, 3] - slow[10:-10]).max() < 0.01
    assert np.allclose(found[:, :3, :3] @ found[:, :3, :3].transpose(0, 2, 1), np.eye(3), atol=1e-6)
    assert np.array_equal(calmed(poses, 0.0, 25.0), poses)
    assert np.allclose(calmed(poses[:1].repeat(3, 0), 2.0, 25.0), poses[:1], atol=1e-9)
