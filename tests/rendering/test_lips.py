"""Which lips a render has: by the prior, by the head's own encoder, by a trained prior."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from jean.checkpoint import load_checkpoint
from jean.clips.clip import Clip
from jean.drivers.method import Method
from jean.drivers.person import NAME, read_person
from jean.drivers.slow import HELD_S, parted_mouth
from jean.errors import InputError, UsageError
from jean.files import read_json, write_safetensors
from jean.lips.prior import BUILTIN, PRIOR_FILE
from jean.media import write_wav
from jean.progress import Silent
from jean.rendering import drive
from jean.rendering.config import RenderConfig
from jean.rendering.head import load_head
from jean.rendering.lips import held_lips, held_reach_s, prior_path
from jean.rendering.render import render
from tests.helpers.tiny_clip import make_clip, rewrite


def chosen(run, **options):
    checkpoint = load_checkpoint(run)
    return prior_path(RenderConfig(**options), checkpoint, Method.of_run(checkpoint))


def test_the_prior_is_the_default_and_can_be_replaced(trained, tmp_path):
    run = trained / "run"
    assert chosen(run) == chosen(run, lips="prior") == BUILTIN
    assert chosen(run, lips="own") is None
    with pytest.raises(InputError, match="no lip prior"):
        chosen(run, lips=str(tmp_path))
    shutil.copy(BUILTIN, tmp_path / PRIOR_FILE)
    assert chosen(run, lips=str(tmp_path)) == tmp_path / PRIOR_FILE


def test_heads_without_lip_coordinates_keep_their_own_encoder(trained):
    checkpoint = load_checkpoint(trained / "run")
    checkpoint.payload["config"]["lip_weight"] = 0.0
    method = Method.of_run(checkpoint)
    assert prior_path(RenderConfig(), checkpoint, method) is None
    with pytest.raises(UsageError, match="follow no prior"):
        prior_path(RenderConfig(lips="prior"), checkpoint, method)


def test_a_held_mouth_is_refused_for_a_head_that_cannot_take_it(trained):
    checkpoint = load_checkpoint(trained / "run")
    method = Method.of_run(checkpoint)
    assert held_reach_s(RenderConfig(), checkpoint, method) == HELD_S
    assert held_reach_s(RenderConfig(held_s=0.2), checkpoint, method) == 0.2
    checkpoint.payload["config"]["lip_weight"] = 0.0
    assert (
        held_reach_s(RenderConfig(), checkpoint, method)
        == held_reach_s(RenderConfig(held_s=0.0), checkpoint, method)
        == 0
    )
    with pytest.raises(UsageError, match="takes no held mouth"):
        held_reach_s(RenderConfig(held_s=0.2), checkpoint, method)


def test_lips_and_articulation_change_the_drivers(trained, speech):
    head = load_head(trained / "run", device="cpu")
    lips = {
        name: head.drive(speech, **options).tracks.lips.numpy()
        for name, options in {
            "prior": {},
            "own": {"lips": "own"},
            "still": {"articulation": 0.0},
            "far": {"articulation": 2.0},
        }.items()
    }
    assert not np.allclose(lips["prior"], lips["own"])
    assert np.ptp(lips["still"], axis=0).max() < 1e-6
    assert lips["far"].std() >= lips["prior"].std()


def test_a_run_that_stored_no_style_gets_one_from_its_tracks(trained, speech, tmp_path):
    from safetensors.numpy import load_file

    run = shutil.copytree(trained / "run", tmp_path / "run")
    arrays = {name: array for name, array in load_file(run / NAME).items() if not name.startswith("style/")}
    write_safetensors(run / NAME, arrays, {"clip": str(trained / "clip")})
    assert read_person(run).style is None and read_person(trained / "run").style is not None
    lips = load_head(run, device="cpu").drive(speech).tracks.lips
    assert lips.isfinite().all() and lips.std() > 0


def test_the_manifest_names_the_prior(trained, speech, tmp_path):
    out = tmp_path / "a.mp4"
    render(trained / "run", RenderConfig(audio=speech, frames=tmp_path / "png"), out, Silent())
    assert "lips" in read_json(out.with_name("a.mp4.json"))["inputs"]
    render(trained / "run", RenderConfig(audio=speech, lips="own"), tmp_path / "b.mp4", Silent())
    assert "lips" not in read_json(tmp_path / "b.mp4.json")["inputs"]


def test_the_lips_close_and_rest_in_silence(trained, tmp_path):
    wave = (0.3 * np.sin(np.arange(16000) / 10) * np.random.default_rng(0).random(16000)).astype(np.float32)
    write_wav(tmp_path / "a.wav", np.concatenate([np.zeros(16000, np.float32), wave]), 16000)
    lips = load_head(trained / "run", device="cpu").drive(tmp_path / "a.wav").tracks.lips.numpy()
    assert np.ptp(lips[:18], axis=0).max() < 1e-6 < np.ptp(lips[25:], axis=0).max()


def test_the_held_mouth_of_the_source_moves_lips_and_landmarks_slowly(trained, tmp_path, monkeypatch):
    def coordinates(
        model, person, shape, held, *_
    ):  # this person's mouth only opens, so any movement stands for a smile
        return 0.1 * held[:, 54, :1] * np.eye(1, model.audio_width)

    monkeypatch.setattr(drive, "held_lips", coordinates)
    write_wav(tmp_path / "a.wav", (0.3 * np.sin(np.arange(64000) / 10)).astype(np.float32), 16000)
    plain = Clip.open(make_clip(tmp_path / "source", frames=100))
    marks = plain.arrays["landmarks"].copy()
    marks[50:, [48, 54], 0] += np.array([-2.0, 1.0], np.float32)  # the mouth widens
    rewrite(plain.folder, {"landmarks": marks})
    head = load_head(trained / "run", device="cpu")
    options = {"expression": plain.folder, "pose": "still"}
    held, spoken = (head.drive(tmp_path / "a.wav", **options, **more).tracks for more in ({}, {"held_s": 0.0}))
    added = (held.lips - spoken.lips).numpy()
    size = added[-1, 0] - added[0, 0]
    assert size > 0.01 and np.abs(np.diff(added, axis=0)).max() < 0.2 * size
    assert (held.lip_motion - spoken.lip_motion)[-1, 0] > 0.5 * size  # not the look alone
    np.testing.assert_array_equal(held.offsets, spoken.offsets)  # the upper face is not concerned
    own = [head.drive(tmp_path / "a.wav", held_s=value).tracks.lips for value in (0.0, 0.5)]
    np.testing.assert_array_equal(*own)  # without a source, the mouth is that of the speech


def drawn_mouth():
    """A model whose lip coordinates are twice the opening and the place of a corner; its person's offsets and shape."""
    random = np.random.default_rng(0)
    shape, offsets = np.zeros((68, 3)), np.zeros((200, 68, 2))
    shape[48, 0], shape[54, 0], shape[65:68, 1] = -2.5, 2.5, 0.4
    opening, width = random.gamma(2.0, 0.1, 200), 0.2 * random.normal(size=200)
    offsets[:, 65:68, 1] = opening[:, None]
    offsets[:, 54, 0] = width - 0.5 * opening  # a mouth that opens becomes narrow

    def coordinates(values):
        return torch.stack([2 * values[:, 66, 1], values[:, 54, 0]], 1)

    model = SimpleNamespace(device=torch.device("cpu"), head=SimpleNamespace(lip_coordinates=coordinates))
    return model, offsets, shape


def test_a_held_mouth_does_not_open_the_lips():
    model, offsets, shape = drawn_mouth()
    held = np.zeros((3, 68, 2))
    held[:, 54, 0], held[:, 65:68, 1] = [0.0, 0.3, 0.6], [[0.0], [0.1], [0.2]]  # a smile of parted lips
    added = held_lips(model, offsets, shape, held)
    np.testing.assert_allclose(added[:, 0], 0.0, atol=0.02)
    # without the opening, what the opening had narrowed returns
    np.testing.assert_allclose(added[:, 1], [0.0, 0.35, 0.7], atol=0.02)


def test_the_smile_of_a_voice_gives_way_to_that_of_the_source():
    model, offsets, shape = drawn_mouth()
    rest = np.array([2 * offsets[:, 66, 1].mean(), offsets[:, 54, 0].mean()])
    spoken = np.tile(rest, (100, 1))
    spoken[:, 1] += 0.5 + 0.1 * np.sin(np.arange(100) * np.pi / 2)  # a smiling voice, whose syllables take four frames
    added = held_lips(model, offsets, shape, np.zeros((100, 68, 2)), parted_mouth(spoken, 25.0)[1])
    np.testing.assert_allclose((spoken + added)[10:-10], spoken[10:-10] - [0.0, 0.5], atol=0.02)
    # how far the lips open is left to the speech, also where it does so slowly
    open_wide = np.tile(rest + np.array([0.4, -0.1]), (100, 1))
    added = held_lips(model, offsets, shape, np.zeros((100, 68, 2)), open_wide)
    np.testing.assert_allclose(added, 0.0, atol=0.02)
