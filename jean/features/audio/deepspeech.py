"""Audio features of DeepSpeech 0.1.0, as in the paper, computed in torch from its frozen graph.

The network: 26 cepstra in 19 frames of 20 ms (494 values) → 2048 → 2048 → 4096 → bidirectional LSTM (2 × 2048) → 2048
→ 29 logits, with ReLU clipped at 20. Inputs are normalised to zero mean and unit standard deviation over the whole
audio. The features are the logits before the softmax, as in AD-NeRF. The code follows the published structure and is
tested on small graphs; it has not been compared with the published file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import ArtefactError, InputError
from jean.features.audio.frozen_graph import read_constants
from jean.media.rates import RATE_HZ
from jean.weights import store

WEIGHTS = "deepspeech-0_1_0-b90017e8.pb"
CEPSTRA, CONTEXT = 26, 9  # coefficients per frame, and neighbouring frames on each side
CLIP = 20.0  # upper limit of the ReLU
FORGET_BIAS = 1.0  # TensorFlow's LSTM cell adds it, torch's does not
CHUNK = 3000  # windows per batch in the dense layers
MIN_SAMPLES = 400  # one analysis window of 25 ms
_LSTM = "bidirectional_rnn/{}/basic_lstm_cell/{}"


class DeepSpeech:
    """Logits of DeepSpeech; see ``AudioFeatures``.

    Args:
        graph: path of the frozen graph; None for the registered weights.

    Raises:
        SetupError: the weights are missing.
        ArtefactError: the file is not the graph of DeepSpeech.
    """

    name = "deepspeech"
    weights = (WEIGHTS,)
    version = "0.1.0"
    width = 29
    window = 16
    rate_hz = 50.0

    def __init__(self, graph: Path | None = None):
        path = graph or store.find(WEIGHTS)
        self._dense, self._lstm = _layers(read_constants(path), path)
        self.width = int(self._dense["6"][1].shape[0])

    def extract(self, wave: np.ndarray) -> np.ndarray:
        """Features float32 [N, 29] of a mono waveform [S] at 16 kHz, 50 rows per second.

        Raises:
            InputError: the waveform is not one-dimensional, or has NaN or infinite samples.
        """
        import torch

        wave = np.asarray(wave, np.float32)
        if wave.ndim != 1 or not np.isfinite(wave).all():
            raise InputError("the audio is not a mono waveform of finite samples.", "Export the audio again.")
        inputs = torch.from_numpy(input_windows(wave))
        with torch.no_grad():
            hidden = torch.cat([self._before(part) for part in torch.split(inputs, CHUNK)])
            both, _ = self._lstm(hidden[:, None])
            logits = torch.cat([self._linear("6", self._relu("5", part)) for part in torch.split(both[:, 0], CHUNK)])
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
    """Input windows of the network, float32 [N, 494].

    Each holds the cepstra of one frame of 20 ms and of nine neighbours on each side, with zeros beyond the ends;
    all are normalised to zero mean and unit standard deviation.

    Args:
        wave: mono float32 [S] in [-1, 1] at 16 kHz.
    """
    from python_speech_features import mfcc

    samples = (np.clip(wave, -1, 1) * 32767).astype(np.int16)
    if len(samples) < MIN_SAMPLES:
        samples = np.pad(samples, (0, MIN_SAMPLES - len(samples)))
    cepstra = mfcc(samples, RATE_HZ, numcep=CEPSTRA)[::2]
    padded = np.pad(cepstra, ((CONTEXT, CONTEXT), (0, 0)))
    windows = np.stack([padded[n : n + 2 * CONTEXT + 1].reshape(-1) for n in range(len(cepstra))])
    return ((windows - windows.mean()) / max(float(windows.std()), 1e-6)).astype(np.float32)


def _layers(constants: dict[str, np.ndarray], path: Path) -> tuple[dict[str, Any], Any]:
    """The dense layers (weight, bias) by number, and the LSTM."""
    import torch

    def named(name: str) -> Any:
        # names may have a prefix from importing the graph, so their end is compared
        matches = [key for key in constants if key == name or key.endswith("/" + name)]
        if len(matches) != 1:
            raise ArtefactError(
                f"{path} is not DeepSpeech 0.1.0: it has no constant {name}.", "Download the graph again."
            )
        return torch.from_numpy(np.array(constants[matches[0]], np.float32))

    dense = {layer: (named(f"h{layer}"), named(f"b{layer}")) for layer in ("1", "2", "3", "5", "6")}
    state = {}
    hidden = inputs = 0
    for direction, suffix in (("fw", "l0"), ("bw", "l0_reverse")):
        kernel, bias = named(_LSTM.format(direction, "kernel")), named(_LSTM.format(direction, "bias"))
        hidden = kernel.shape[1] // 4
        inputs = kernel.shape[0] - hidden
        # order of the gates in TensorFlow: input, new, forget, output; in torch: input, forget, new, output
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
            f"{path} is not DeepSpeech 0.1.0: its layers have other sizes.", "Download the graph again."
        ) from error
    return dense, lstm.eval()
