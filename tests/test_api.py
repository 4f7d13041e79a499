"""The public interface: lazy, called alike, with results that are objects."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jean
from jean import api
from jean.errors import UsageError
from tests.helpers.tiny_clip import make_clip

FUNCTIONS = [
    "prepare",
    "train_landmarks",
    "train_audio",
    "train_expression",
    "train_lips",
    "train_motion",
    "train_nerf",
    "act",
    "render",
    "evaluate",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A clip folder and a run that was trained on it for a moment."""
    folder = tmp_path_factory.mktemp("api")
    clip = make_clip(folder / "clip", frames=10, size=20)
    return clip, jean.train_nerf(
        jean.Clip.open(clip), folder / "run", steps=3, rays=144, frames_per_step=1, device="cpu"
    )


def test_importing_loads_nothing_heavy():
    code = "import sys, jean; assert 'render' in dir(jean); print(*(m for m in ('torch', 'numpy') if m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        jean.nothing  # noqa: B018


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_one_argument_order(name):
    parameters = list(inspect.signature(getattr(jean, name)).parameters.values())
    assert [p.name for p in parameters[1:3]] == ["output", "config"]
    assert parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    assert {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY} >= {"progress"}
    assert getattr(jean, name) is getattr(api, name)


def test_a_training_returns_its_folder_and_metrics(run):
    _, trained = run
    assert trained.steps == 3 and trained.seconds > 0
    assert np.isfinite(trained.metrics["heldout_face_psnr_db"])
    assert Path(trained) == trained.folder and (trained.folder / "checkpoints").is_dir()


def test_a_head_gives_frames_as_arrays(run):
    clip, trained = run
    head = jean.load_head(trained, device="cpu")
    drive = head.drive(audio=clip / "audio.wav", pose="still")
    frame = head.frame(drive, 3)
    assert frame.dtype == np.uint8 and frame.shape == (20, 20, 3)
    large = head.drive(audio=str(clip / "audio.wav"), size=40, fps=50)
    assert len(large) == 2 * len(drive) and head.frame(large, 0, background="source").shape == (40, 40, 3)
    with pytest.raises(IndexError):
        head.frame(drive, len(drive))


def test_a_frame_is_the_one_that_render_writes(run, tmp_path):
    from jean.media import read_image

    clip, trained = run
    sound = clip / "audio.wav"
    result = jean.render(trained, tmp_path / "a.mp4", audio=sound, frames=tmp_path / "png", device="cpu")
    assert (
        result.finished
        and Path(result) == tmp_path / "a.mp4"
        and result.frames == len(list((tmp_path / "png").iterdir()))
    )
    assert set(result.reductions) >= {"expression", "pose"}
    head = jean.load_head(trained, device="cpu")
    assert np.array_equal(head.frame(head.drive(audio=sound), 4), read_image(tmp_path / "png" / "000004.png"))


def test_results_are_scored_by_name(run, tmp_path):
    clip, trained = run
    video = jean.render(trained, tmp_path / "a.mp4", audio=clip / "audio.wav", background="source", device="cpu")
    scores = jean.evaluate(video, reference=jean.Clip.open(clip), metrics=["image"], tracker="reference")
    assert np.isfinite(scores.mean["psnr_db"]) and scores["psnr_db"] == scores.mean["psnr_db"]
    assert len(scores.rows) == 1


def test_a_misspelt_option_names_the_nearest(run, tmp_path):
    clip, _ = run
    with pytest.raises(UsageError, match="frames_per_step"):
        jean.train_nerf(clip, tmp_path / "run", frame_per_step=2)


def test_options_override_a_configuration(run, tmp_path):
    from jean.train.nerf.config import NerfConfig

    clip, _ = run
    config = NerfConfig(steps=9, rays=144, frames_per_step=1, device="cpu")
    assert jean.train_nerf(clip, tmp_path / "run", config, steps=2).steps == 2
