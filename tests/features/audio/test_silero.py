"""Silero's voice detector: blocks with context, state over batches, and its choice by installed weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jean.drivers.voice import detector_name, voice_detector
from jean.errors import ArtefactError
from jean.features.audio import silero
from jean.features.audio.silero import BATCH, BLOCK, CONTEXT, SileroVoice


class Network:
    """In place of the network: a block is speech if its mean is positive; counts blocks in its state."""

    def run(self, _: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        rows, hidden = inputs["input"], inputs["h"]
        assert rows.shape[1] == CONTEXT + BLOCK and len(rows) <= BATCH
        self.contexts.append(rows[0, :CONTEXT])
        self.counts.append(int(hidden[0, 0, 0]))
        return [(rows[:, CONTEXT:].mean(1) > 0).astype(np.float32), hidden + len(rows), inputs["c"]]

    def __init__(self) -> None:
        self.contexts: list[np.ndarray] = []
        self.counts: list[int] = []


def detector(network: Network) -> SileroVoice:
    made = SileroVoice.__new__(SileroVoice)
    made._session = network
    return made


def test_blocks_overlap_by_their_context_and_keep_the_state() -> None:
    network = Network()
    wave = np.arange(BATCH * BLOCK + 100, dtype=np.float32) - 3 * BLOCK
    probability = detector(network).probability(wave)
    assert len(probability) == BATCH + 1
    assert probability[:4].tolist() == [0, 0, 0, 1]
    assert not network.contexts[0].any()
    np.testing.assert_array_equal(network.contexts[1], wave[BATCH * BLOCK - CONTEXT : BATCH * BLOCK])
    assert network.counts == [0, BATCH]


def test_frames_take_the_block_in_their_middle() -> None:
    wave = np.repeat([-1.0, 1.0, -1.0], 16000).astype(np.float32)
    speaks = detector(Network()).speaks(wave, 75, 25.0)
    assert not speaks[:25].any() and speaks[26:49].all() and not speaks[51:].any()
    assert detector(Network()).speaks(np.zeros(0, np.float32), 3, 25.0).tolist() == [False] * 3


def test_the_loudness_rule_remains_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert detector_name() == voice_detector().name == "loudness"
    monkeypatch.setenv("JEAN_MODELS", str(tmp_path))
    (tmp_path / silero.WEIGHTS).write_bytes(b"damaged")
    assert detector_name() == "silero"
    with pytest.raises(ArtefactError, match="models pull silero"):
        voice_detector()
    with pytest.raises(ArtefactError, match="models pull silero"):
        SileroVoice(tmp_path / silero.WEIGHTS)


@pytest.mark.real
def test_noise_in_a_pause_is_no_speech(shared_models: Path, shared_data: Path) -> None:
    """Noise 15 dB under the speech: the loudness rule calls all of a pause speech, Silero none of it."""
    from jean.drivers.voice import voiced
    from jean.media import read_audio

    if detector_name() != "silero":
        pytest.skip(f"{silero.WEIGHTS} is not among the weights")
    speech = read_audio(shared_data / "data" / "radio31.wav")[:96000]
    wave = np.concatenate([speech[:48000], np.zeros(48000, np.float32), speech[48000:]])
    level = np.sqrt(np.mean(speech**2)) * 10 ** (-15 / 20)
    wave = wave + level * np.random.default_rng(0).standard_normal(len(wave)).astype(np.float32)
    pause = slice(80, 145)
    assert voiced(wave, 225, 25.0)[pause].all()
    found = voice_detector().speaks(wave, 225, 25.0)
    assert not found[pause].any() and found[:75].mean() > 0.8 and found[150:].mean() > 0.8
