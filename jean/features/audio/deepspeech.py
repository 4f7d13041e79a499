"""DeepSpeech 0.1.0, the paper's audio features, in torch, from its frozen graph.

26 cepstra in 19 frames of 20 ms (494 numbers) → 2048 → 2048 → 4096 → an LSTM in both directions (2 × 2048) →
2048 → 29 logits, with ReLU clipped at 20; what goes in is brought to zero mean and unit spread over the whole
sound. The logits before the softmax are the features, as in AD-NeRF. Built from the published structure and
tried on graphs made in the tests; parity with the published file is not tried, as it could not be had.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import ArtefactError, InputError
from jean.features.audio.frozen_graph import read_constants
from jean.weights import store as weights

WEIGHTS = "deepspeech-0_1_0-b90017e8.pb"
CEPSTRA, CONTEXT = 26, 9
CLIP = 20.0  # of the ReLU
FORGET_BIAS = 1.0  # TensorFlow's cell adds it, torch's does not
CHUNK = 3000  # windows at a time through the dense layers
_LSTM = "bidirectional_rnn/{}/basic_lstm_cell/{}"


class DeepSpeech:
    """Logits of DeepSpeech; see ``AudioFeatures``.

    Args:
        graph: the frozen graph; None: the registered weights.

    Raises:
        SetupError: the weights are missing.
        ArtefactError: they are not DeepSpeech's graph.
    """

    name = "deepspeech"
    version = "0.1.0"
    width = 29
    window = 16
    rate_hz = 50.0

    def __init__(self, graph: Path | None = None):
        path = graph or weights.find(WEIGHTS)
        self._dense, self._lstm = _layers(read_constants(path), path)
        self.width = int(self._dense["6"][1].shape[0])

    def extract(self, wave: np.ndarray) -> np.ndarray:
        """float32 [N, 29] from a mono wave [S] at 16 kHz, 50 rows a second.

        Raises:
            InputError: the wave is not one-dimensional or holds values that are not finite.
        """
        import torch

        wave = np.asarray(wave, np.float32)
        if wave.ndim != 1 or not np.isfinite(wave).all():
            raise InputError("the sound is no mono wave of finite numbers.", "Export it again.")
        inputs = torch.from_numpy(input_windows(wave))
        with torch.no_grad():
            hidden = torch.cat([self._before(part) for part in inputs.split(CHUNK)])
            both, _ = self._lstm(hidden[:, None])
            logits = torch.cat([self._linear("6", self._relu("5", part)) for part in both[:, 0].split(CHUNK)])
        return logits.numpy()

    def _before(self, inputs: Any) -> Any:
        for layer in ("1", "2", "3"):
            inputs = self._relu(layer, inputs)
        return inputs

    def _linear(self, layer: str, inputs: Any) -> Any:
        weight, bias = self._dense[layer]
        return inputs @ weight + bias

    def _relu(self, layer: str, inputs: Any) -> Any:
        return self._linear(layer, inputs).clamp(0, CLIP)


def input_windows(wave: np.ndarray) -> np.ndarray:
    """float32 [N, 494]: cepstra every 20 ms with nine neighbours on both sides, zeros beyond the ends, whitened."""
    from python_speech_features import mfcc

    samples = (np.clip(wave, -1, 1) * 32767).astype(np.int16)
    if len(samples) < 400:
        samples = np.pad(samples, (0, 400 - len(samples)))
    cepstra = mfcc(samples, 16000, numcep=CEPSTRA)[::2]
    padded = np.pad(cepstra, ((CONTEXT, CONTEXT), (0, 0)))
    windows = np.stack([padded[n : n + 2 * CONTEXT + 1].reshape(-1) for n in range(len(cepstra))])
    return ((windows - windows.mean()) / max(float(windows.std()), 1e-6)).astype(np.float32)


def _layers(constants: dict[str, np.ndarray], path: Path) -> tuple[dict[str, Any], Any]:
    """Dense layers (weight, bias) by number, and the LSTM."""
    import torch

    def named(name: str) -> Any:
        # graphs are imported under prefixes, so the end of a name counts
        found = [key for key in constants if key == name or key.endswith("/" + name)]
        if len(found) != 1:
            raise ArtefactError(f"{path} has no constant {name}: it is not DeepSpeech 0.1.0.", "Get the graph again.")
        return torch.from_numpy(np.array(constants[found[0]], np.float32))

    dense = {layer: (named(f"h{layer}"), named(f"b{layer}")) for layer in ("1", "2", "3", "5", "6")}
    state = {}
    hidden = inputs = 0
    for direction, suffix in (("fw", "l0"), ("bw", "l0_reverse")):
        kernel, bias = named(_LSTM.format(direction, "kernel")), named(_LSTM.format(direction, "bias"))
        hidden = kernel.shape[1] // 4
        inputs = kernel.shape[0] - hidden
        # TensorFlow: input, new, forget, output; torch: input, forget, new, output
        i, j, f, o = kernel.T.split(hidden)
        bi, bj, bf, bo = bias.split(hidden)
        whole = torch.cat([i, f, j, o])
        state[f"weight_ih_{suffix}"], state[f"weight_hh_{suffix}"] = whole[:, :inputs], whole[:, inputs:]
        state[f"bias_ih_{suffix}"] = torch.cat([bi, bf + FORGET_BIAS, bj, bo])
        state[f"bias_hh_{suffix}"] = torch.zeros(4 * hidden)
    lstm = torch.nn.LSTM(inputs, hidden, bidirectional=True)
    try:
        lstm.load_state_dict({name: value.contiguous() for name, value in state.items()})
        widths = [dense[layer][0].shape for layer in ("1", "2", "3", "5", "6")]
        assert widths[0][0] == (2 * CONTEXT + 1) * CEPSTRA and widths[2][1] == inputs and widths[3][0] == 2 * hidden
    except (RuntimeError, AssertionError) as error:
        raise ArtefactError(
            f"{path} is not DeepSpeech 0.1.0: its layers do not fit.", "Get the graph again."
        ) from error
    return dense, lstm.eval()
