"""AD-NeRF's smoothing of e_a: its neighbours, the ends of clips, its start in training, and its use in rendering."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from jean.checkpoint import load_checkpoint
from jean.drivers.audio_windows import neighbour_rows
from jean.drivers.person_frames import open_person
from jean.drivers.speech import SpeechInput
from jean.errors import UsageError
from jean.models.talking_head import TalkingHead
from jean.progress import Silent
from jean.rendering.config import RenderConfig
from jean.rendering.load import load_model
from jean.rendering.render import render
from jean.train.nerf.presets import resolve
from jean.train.nerf.train import NerfConfig, NerfStage, train_nerf
from tests.helpers.tiny_clip import make_clip

OPTIONS = {"rays": 32, "frames_per_step": 2, "audio_attention": 8, "device": "cpu"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    return [make_clip(root / name, frames=20, size=20, seed=seed) for seed, name in enumerate("ab")]


def stage(clips, steps=4, **options):
    config = resolve(NerfConfig(steps=steps, **(OPTIONS | options)))
    return NerfStage(open_person(clips), config, torch.device("cpu"))


def test_neighbour_rows_equal_values_by_hand():
    rows = neighbour_rows(5, 4)
    assert rows.tolist() == [[0, 0, 0, 1], [0, 0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 4]]
    assert neighbour_rows(9, 4, 2.0)[4].tolist() == [0, 2, 4, 6]  # a result at 50 frames per second of a clip at 25
    assert neighbour_rows(9, 4, 0.5)[4].tolist() == [3, 4, 4, 4]  # halves go to even numbers: -0.5 and 0.5 are 0


def test_neighbours_are_frames_of_the_same_clip(clips):
    rows = stage(clips).tracks.neighbours.numpy()
    assert rows.shape == (40, 8)
    assert (rows // 20 == np.arange(40)[:, None] // 20).all()
    assert rows[20].tolist() == [20, 20, 20, 20, 20, 21, 22, 23] and rows[19].tolist() == [
        15,
        16,
        17,
        18,
        19,
        19,
        19,
        19,
    ]


def heard(trained, frame):
    """Dataset frames whose windows reach the audio part of e_in of one frame."""
    tracks = trained.tracks.resident()
    tracks = replace(tracks, audio=tracks.audio.detach().requires_grad_())
    trained.model.eval().audio_embedding(tracks.windows(torch.tensor([frame]))).sum().backward()
    return tracks.audio.grad.abs().sum((1, 2)).nonzero().flatten().tolist()


def test_smoothing_depends_on_the_neighbours_only(clips):
    trained = stage(clips)
    assert heard(trained, 10) == [10]  # before smoothing starts
    trained.model.smoothing.fill_(True)
    assert heard(trained, 10) == list(range(6, 14))
    assert heard(trained, 21) == list(range(20, 25))


def test_smoothing_starts_halfway_and_is_trained(clips):
    trained = stage(clips)
    before = [p.clone() for p in trained.model.audio_attention.parameters()]
    for step, begun in enumerate((False, False, True, True)):
        trained.step(step)
        assert bool(trained.model.smoothing) == begun
        moved = any(
            not torch.equal(p, q) for p, q in zip(trained.model.audio_attention.parameters(), before, strict=True)
        )
        assert moved == begun
    assert trained.ema.smoothing  # the stored and evaluated weights smooth too


def test_windows_without_neighbours_are_not_smoothed(clips):
    trained = stage(clips)
    windows = torch.from_numpy(trained.tracks.audio.at(np.arange(3)))
    alone = trained.model.eval().audio_embedding(windows)
    trained.model.smoothing.fill_(True)
    assert torch.allclose(trained.model.audio_embedding(windows[:, None].expand(-1, 8, -1, -1)), alone, atol=1e-5)
    assert torch.equal(trained.model.audio_embedding(windows), alone)


def test_rendering_smooths_like_training(clips, tmp_path, monkeypatch):
    train_nerf(clips, tmp_path / "run", NerfConfig(steps=2, **OPTIONS), Silent())
    checkpoint = load_checkpoint(tmp_path / "run", stage="nerf")
    assert load_model(checkpoint, "cpu").smoothing
    sound = clips[0] / "audio.wav"
    description = checkpoint.payload["meta"]["audio"]["logmel"]
    windows = SpeechInput("logmel", description).windows_of_file(sound, 25.0)
    inputs = []
    embedding = TalkingHead.audio_embedding
    monkeypatch.setattr(
        TalkingHead, "audio_embedding", lambda model, audio: inputs.append(audio) or embedding(model, audio)
    )
    render(tmp_path / "run", RenderConfig(audio=sound, lips="own"), tmp_path / "out.mp4", Silent())
    rows = neighbour_rows(len(windows), 8)
    assert np.array_equal(torch.cat(inputs).numpy(), windows[rows])


def test_smoothing_without_speech_is_refused():
    with pytest.raises(UsageError, match="nothing to smooth"):
        resolve(NerfConfig(method="expression-only", audio_attention=8))
