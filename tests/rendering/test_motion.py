"""``render --motion`` and ``act``: which cues the motion decides, clips of ``act``, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jean.clips.clip import Clip
from jean.drivers.motion import Act, generate
from jean.drivers.motion_model import BUILTIN, MOTION_FILE, load_motion_model
from jean.drivers.motion_tracks import Motion
from jean.errors import ArtefactError, InputError, UsageError
from jean.files import read_json
from jean.media import write_wav
from jean.progress import Silent
from jean.rendering.act import act
from jean.rendering.act_config import ActConfig
from jean.rendering.config import RenderConfig
from jean.rendering.head import load_head
from jean.rendering.motion import motion_source, require_tracker
from jean.rendering.render import render
from jean.train.nerf.stage import NerfStage
from jean.train.nerf.train import NerfConfig, train_nerf
from tests.helpers.tiny_motion import write_motion_clip, write_motion_run


class Heard(Silent):
    """Collects messages."""

    def __init__(self):
        self.lines = []

    def say(self, message):
        self.lines.append(message)


@pytest.fixture(scope="module")
def motion(tmp_path_factory):
    """A motion model on true landmarks, which suit every head."""
    return write_motion_run(tmp_path_factory.mktemp("motion"), tracker="truth")


@pytest.fixture
def voice(tmp_path):
    """2.2 s of a tone that comes and goes: 55 frames."""
    seconds = np.arange(35200) / 16000
    tone = 0.2 * np.sin(2 * np.pi * 140 * seconds) * (np.sin(6 * seconds) > 0)
    path = tmp_path / "voice.wav"
    write_wav(path, tone.astype(np.float32), 16000)
    return path


@pytest.fixture(scope="module")
def head(trained):
    return load_head(trained / "run", device="cpu")


def tracks(head, voice, motion, **options):
    return head.drive(voice, motion=str(motion), **options).tracks


def test_the_motion_decides_face_and_pose_and_speech_the_lips(head, voice, motion):
    own, moved = head.drive(voice).tracks, tracks(head, voice, motion, emotion="neutral")
    assert len(moved) == len(own) == 55
    for name in ("offsets", "expression", "camera_to_world"):
        assert not np.allclose(getattr(moved, name), getattr(own, name))
    assert np.allclose(moved.lips, own.lips, atol=1e-6)  # a neutral voice adds nothing to the lips


def test_an_emotion_adds_to_the_mouth_slowly(voice, motion):
    model = load_motion_model(motion / MOTION_FILE)
    held = generate(model, voice, Act("happy"), print).held
    assert np.abs(held).max() > 1e-4
    assert np.abs(np.diff(held, axis=0)).max() < 0.1 * np.abs(held).max()
    assert not generate(model, voice, Act("neutral"), print).held.any()


def test_seeds_and_emotions_change_the_motion_and_nothing_else_does(head, voice, motion):
    first, again = (tracks(head, voice, motion, seed=1).offsets for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, tracks(head, voice, motion, seed=2).offsets)
    assert not np.allclose(first, tracks(head, voice, motion, seed=1, emotion="sad:2").offsets)


def test_named_sources_replace_their_cue_and_the_rest_is_generated(head, voice, motion, tmp_path):
    clip = write_motion_clip(tmp_path / "source", "sad", 3)
    alone = head.drive(voice, pose=clip).tracks
    both, free = tracks(head, voice, motion, pose=str(clip)), tracks(head, voice, motion)
    assert np.allclose(both.camera_to_world, alone.camera_to_world)
    assert not np.allclose(both.offsets, alone.offsets)
    assert not np.allclose(both.offsets, free.offsets)  # the generated face fits the given pose


def test_a_clip_is_a_motion_too(head, voice, motion, tmp_path):
    act(motion, ActConfig(audio=voice, emotion="happy", seed=5), tmp_path / "acted", Silent())
    acted = tracks(head, voice, tmp_path / "acted")
    assert len(acted) == 55 and np.isfinite(acted.offsets).all()
    with pytest.raises(UsageError, match="emotion is fixed"):
        tracks(head, voice, tmp_path / "acted", emotion="sad")


def test_act_writes_a_clip_that_shows_what_was_generated(motion, voice, tmp_path, monkeypatch):
    result = act(motion, ActConfig(audio=voice, emotion="sad:0.5", seed=4, fps=50), tmp_path / "clip", Silent())
    clip = Clip.open(tmp_path / "clip", pictures=False)
    assert result["frames"] == clip.frame_count == 110 and clip.fps == 50 and not clip.meta.pictures
    assert clip.meta.generated is not None
    assert (clip.meta.generated.emotion, clip.meta.generated.seed) == ("sad:0.5", 4)
    assert len(Motion.of_clip(clip)) == 55
    monkeypatch.setattr("jean.rendering.act._PIECE", 20)  # pieces do not show
    again = act(motion, ActConfig(audio=voice, emotion="sad:0.5", seed=4, fps=50), tmp_path / "again", Silent())
    assert again["blinks"] == result["blinks"]
    assert Clip.open(tmp_path / "again", pictures=False).digest() == clip.digest()


def test_act_keeps_given_cues(motion, voice, tmp_path):
    source = write_motion_clip(tmp_path / "source", "happy", 8)
    act(motion, ActConfig(audio=voice, pose=source), tmp_path / "clip", Silent())
    made, given = (Motion.of_clip(Clip.open(tmp_path / name, pictures=False)).pose for name in ("clip", "source"))
    assert np.abs((made - made.mean(0)) - (given[:55] - given[:55].mean(0))).max() < 0.02


def test_a_head_of_the_paper_moves_too_and_its_lips_follow_the_speech(trained, voice, motion, tmp_path, monkeypatch):
    monkeypatch.setattr(NerfStage, "evaluate", lambda self, step: {})  # which would render with 256 samples per ray
    config = NerfConfig(preset="paper", steps=2, rays=16, frames_per_step=1, device="cpu")
    train_nerf([trained / "clip"], tmp_path / "run", config, Silent())
    paper = load_head(tmp_path / "run", device="cpu")
    own, moved = paper.drive(voice).tracks, tracks(paper, voice, motion, emotion="sad")
    assert torch.equal(moved.lips, own.lips)
    assert not np.allclose(moved.camera_to_world, own.camera_to_world) and np.isfinite(moved.expression).all()


def test_a_timeline_and_the_rate_of_frames(head, voice, motion, tmp_path):
    timeline = tmp_path / "emotions.csv"
    timeline.write_text("time_s,expression,strength\n0,neutral,1\n1,sad,1.5\n2,happy,0.5\n")
    for fps in (23.976, 29.97, 60):
        drive = head.drive(voice, motion=str(motion), emotion_timeline=str(timeline), fps=fps)
        assert len(drive) == int(np.ceil(2.2 * fps)) and np.isfinite(drive.tracks.offsets).all()


def test_rendering_records_motion_and_seed(trained, voice, motion, tmp_path):
    options = RenderConfig(audio=voice, motion=str(motion), emotion="sad", seed=7, size=32, fps=5, device="cpu")
    render(trained / "run", options, tmp_path / "a.mp4", Silent())
    manifest = read_json(tmp_path / "a.mp4.json")
    text = str(manifest)
    assert "'seed': 7" in text and "'emotion': 'sad'" in text and "motion" in manifest["inputs"]


def test_auto_says_what_it_hears(head, trained, voice, motion, tmp_path):
    heard = Heard()
    load_head(trained / "run", device="cpu", progress=heard).drive(voice, motion=str(motion), emotion="auto")
    assert any("the sound is no voice" in line for line in heard.lines)  # a tone that holds its pitch
    seconds = np.arange(35200) / 16000
    glide = np.sin(2 * np.pi * np.cumsum(140 + 30 * np.sin(7 * seconds)) / 16000) * (np.sin(6 * seconds) > 0)
    write_wav(tmp_path / "glide.wav", (0.2 * glide).astype(np.float32), 16000)
    load_head(trained / "run", device="cpu", progress=heard).drive(
        tmp_path / "glide.wav", motion=str(motion), emotion="auto"
    )
    assert any("the voice sounds" in line for line in heard.lines)
    silence = tmp_path / "silence.wav"
    write_wav(silence, np.zeros(16000, np.float32), 16000)
    load_head(trained / "run", device="cpu", progress=heard).drive(silence, motion=str(motion), emotion="auto")
    assert any("neutral" in line and "hardly any voice" in line for line in heard.lines)


def test_emotion_alone_means_the_builtin_model():
    assert motion_source(RenderConfig(emotion="happy")) == BUILTIN
    assert motion_source(RenderConfig()) is None
    assert motion_source(RenderConfig(motion="builtin")) == BUILTIN


@pytest.mark.parametrize("emotion", ["joyful", "hapy", "happy:3", "happy:-1", "happy:much", "a..b..c"])
def test_unknown_emotions_and_strengths_are_refused(head, voice, motion, emotion):
    with pytest.raises(UsageError, match="emotion"):
        tracks(head, voice, motion, emotion=emotion)


def test_bad_sources_are_refused(head, voice, motion, tmp_path):
    with pytest.raises(InputError, match="no motion model"):
        tracks(head, voice, tmp_path)
    with pytest.raises(UsageError, match="contradict"):
        tracks(head, voice, motion, emotion="sad", emotion_timeline=str(voice))
    falling = tmp_path / "falling.csv"
    falling.write_text("time_s,expression\n1,sad\n0,happy\n")
    with pytest.raises(InputError, match="increase"):
        tracks(head, voice, motion, emotion_timeline=str(falling))
    with pytest.raises(ArtefactError, match="landmarks of fan"):
        require_tracker(tmp_path, "fan", "mediapipe")
    require_tracker(tmp_path, "truth", "mediapipe")
    write_motion_run(tmp_path / "fan")
    (tmp_path / "fan" / "motion.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ArtefactError, match="no motion model"):
        tracks(head, voice, tmp_path / "fan")
    empty = tmp_path / "empty.wav"
    write_wav(empty, np.zeros(0, np.float32), 16000)
    with pytest.raises(InputError, match="no audio"):
        act(motion, ActConfig(audio=empty), tmp_path / "out", Silent())
    with pytest.raises(UsageError, match="no speech"):
        act(motion, ActConfig(), tmp_path / "out", Silent())
    with pytest.raises(UsageError, match="other files"):
        act(motion, ActConfig(audio=voice), tmp_path, Silent())
