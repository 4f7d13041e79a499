"""DeepSpeech from a frozen graph: the reader against bytes made by hand, the network against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from jean.errors import ArtefactError
from jean.features.audio.deepspeech import DeepSpeech, input_windows
from jean.features.audio.frozen_graph import read_constants
from tests.helpers.made_models import constant, deepspeech_constants, graph


def test_constants_of_every_encoding_are_read(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3) - 2.5
    path = tmp_path / "graph.pb"
    path.write_bytes(graph({"a": array}, "x/") + constant("b", array, one_by_one=True) + constant("c", np.array([4.0])))
    found = read_constants(path)
    assert set(found) == {"x/a", "b", "c"}
    assert np.array_equal(found["x/a"], array) and np.array_equal(found["b"], array) and found["c"].tolist() == [4.0]


@pytest.mark.parametrize("damage", [lambda b: b[:-3], lambda b: b"\xff" * 20, lambda b: b"", lambda b: b"hello world"])
def test_other_files_are_rejected(tmp_path, damage):
    path = tmp_path / "graph.pb"
    path.write_bytes(damage(graph({"a": np.ones((3, 3))}) + constant("z", np.ones(8))))
    with pytest.raises(ArtefactError):
        read_constants(path)


def test_another_graph_is_rejected(tmp_path):
    constants = deepspeech_constants()
    (tmp_path / "a.pb").write_bytes(graph({k: v for k, v in constants.items() if k != "h5"}))
    with pytest.raises(ArtefactError, match="h5"):
        DeepSpeech(tmp_path / "a.pb")
    (tmp_path / "b.pb").write_bytes(graph({**constants, "h1": np.ones((100, 6))}))
    with pytest.raises(ArtefactError, match="layers"):
        DeepSpeech(tmp_path / "b.pb")


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def by_hand(inputs: np.ndarray, c: dict[str, np.ndarray]) -> np.ndarray:
    """The network as TensorFlow computes it: BasicLSTMCell with gates i, j, f, o and a forget bias of 1."""

    def relu(x: np.ndarray, n: str) -> np.ndarray:
        return np.clip(x @ c[f"h{n}"] + c[f"b{n}"], 0, 20)

    x = relu(relu(relu(inputs, "1"), "2"), "3")
    sides = []
    for direction in ("fw", "bw"):
        kernel, bias = (c[f"bidirectional_rnn/{direction}/basic_lstm_cell/{part}"] for part in ("kernel", "bias"))
        size = kernel.shape[1] // 4
        state = output = np.zeros(size)
        rows = []
        for row in x if direction == "fw" else x[::-1]:
            i, j, f, o = np.split(np.concatenate([row, output]) @ kernel + bias, 4)
            state = sigmoid(f + 1.0) * state + sigmoid(i) * np.tanh(j)
            output = sigmoid(o) * np.tanh(state)
            rows.append(output)
        sides.append(np.stack(rows if direction == "fw" else rows[::-1]))
    return relu(np.concatenate(sides, 1), "5") @ c["h6"] + c["b6"]


def test_the_network_agrees_with_tensorflow(tmp_path):
    constants = deepspeech_constants()
    (tmp_path / "graph.pb").write_bytes(graph(constants, "deepspeech/"))
    wave = np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.1
    found = DeepSpeech(tmp_path / "graph.pb").extract(wave)
    expected = by_hand(input_windows(wave).astype(np.float64), constants)
    assert found.shape == (50, 29) and np.allclose(found, expected, atol=1e-4)


def test_inputs_have_context_and_unit_variance():
    wave = np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.1
    windows = input_windows(wave)
    assert windows.shape == (50, 494)
    assert abs(windows.mean()) < 1e-4 and abs(windows.std() - 1) < 1e-3
    columns = windows.reshape(50, 19, 26)
    assert np.array_equal(columns[10, 9], columns[11, 8]) and np.array_equal(columns[10, 9], columns[1, 18])
    assert np.ptp(columns[0, :9]) == 0  # zeros before the beginning, whitened with the rest
