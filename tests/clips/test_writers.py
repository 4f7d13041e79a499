"""Every writer of clips against every reader: what one writes, all read."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from jean.clips.clip import Clip
from jean.clips.concat import join
from jean.clips.writer import ClipWriter
from jean.features.registry import ADAPTERS
from jean.progress import Silent
from tests.helpers import drawn_face
from tests.helpers.tiny_clip import make_clip

SIZE = 48


def _prepared(folder: Path) -> Path:
    from jean.preparation.config import PrepareConfig
    from jean.preparation.prepare import prepare
    from tests.preparation.test_prepare import film, one_face

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ADAPTERS["tracker"], "fake", "tests.helpers.drawn_face:FakeTracker")
        patch.setitem(ADAPTERS["matting"], "fake", "tests.helpers.drawn_face:FakeMatting")
        patch.setitem(sys.modules, "jean.preparation.background", drawn_face.plate_module())
        video = film(folder.parent / "video.mp4", one_face)
        prepare([video], folder, PrepareConfig(size=64, tracker="fake", matting="fake"))
    return folder


def _joined(folder: Path) -> Path:
    parts = [Clip.open(make_clip(folder.parent / name, frames=12, size=SIZE)) for name in ("a", "b")]
    return join(parts, folder).folder


def _synthetic(folder: Path) -> Path:
    from jean.synthetic_speaker.speaker import build_speaker
    from jean.synthetic_speaker.speaker_identity import sample_identity
    from jean.synthetic_speaker.track_clips import write_track_clip
    from jean.synthetic_speaker.video_corpus import plan_corpus

    item = plan_corpus(folder.parent, 1, 1, ("happy",))[0]
    return write_track_clip(folder, item, build_speaker(sample_identity(item.identity_seed)), picture_px=SIZE)


def _truth(folder: Path) -> Path:
    from jean.demo.cross_driven import write_truth_clip
    from jean.demo.demo_clips import EXPRESSION, POSE, SPEECH, DemoClip
    from jean.synthetic_speaker.speaker_video import write_speaker_video

    item = DemoClip("a", SPEECH, "happy", 1.0, 1.5, 5)
    video = write_speaker_video(folder.parent / "v", 0, "happy", 1.0, seconds=1.5, size=SIZE, seed=5, matte=False)
    trained = Clip.open(make_clip(folder.parent / "trained", frames=4, size=SIZE))
    crop = {"left_px": 0, "top_px": 0, "side_px": SIZE}
    trained = Clip(trained.folder, trained.meta.model_validate({**trained.meta.to_json(), "crop": crop}))
    roles = dict.fromkeys((SPEECH, EXPRESSION, POSE), item)
    write_truth_clip(folder, roles, 0, SIZE, trained, [video], Silent())
    return folder


WRITERS = {"prepare": _prepared, "concat": _joined, "synthetic": _synthetic, "truth": _truth}


@pytest.fixture(scope="module", params=list(WRITERS))
def written(request, tmp_path_factory):
    """The clip of one writer, written under the usual umask."""
    before = os.umask(0o022)
    try:
        return WRITERS[request.param](tmp_path_factory.mktemp(request.param) / "clip")
    finally:
        os.umask(before)


@pytest.fixture(scope="module")
def head(written, tmp_path_factory):
    """A head trained on the clip for one step."""
    from jean.train.nerf.train import NerfConfig, train_nerf

    before = os.umask(0o022)
    try:
        run = tmp_path_factory.mktemp("run") / "run"
        result = train_nerf([written], run, NerfConfig(steps=1, rays=144, frames_per_step=1), Silent())
    finally:
        os.umask(before)
    assert result["steps"] == 1
    return run


def test_every_file_can_be_read_by_others(written):
    modes = {path.name: path.stat().st_mode & 0o777 for path in written.iterdir() if path.suffix and path.is_file()}
    assert set(modes) >= set(Clip.open(written).meta.files) | {"clip.json"}
    assert {name for name, mode in modes.items() if mode != 0o644} == set()


def test_every_file_is_recorded(written):
    clip = Clip.open(written)
    assert set(clip.meta.files) == {
        "frames.u8",
        "matte.u8",
        "background.png",
        "arrays.safetensors",
        "audio_features.safetensors",
        "audio.wav",
    }
    assert all(facts.bytes == (written / name).stat().st_size for name, facts in clip.meta.files.items())


def test_train_landmarks_reads_it(written, tmp_path):
    from jean.train.landmarks.config import LandmarkConfig
    from jean.train.landmarks.stage import train_landmarks

    result = train_landmarks([written], tmp_path / "run", LandmarkConfig(steps=1, batch=4), Silent())
    assert result["steps"] == 1


def test_train_nerf_reads_it_and_the_run_can_be_read_by_others(head):
    assert (head / "person.safetensors").stat().st_mode & 0o777 == 0o644


def test_render_takes_it_as_every_source(written, head, tmp_path):
    from jean.rendering.config import RenderConfig
    from jean.rendering.render import render

    config = RenderConfig(audio=written / "audio.wav", expression=written, pose=str(written), size=32)
    result = render(head, config, tmp_path / "out.mp4", Silent())
    assert result["finished"] and result["frames"] > 0


def test_inspect_reads_a_run_trained_on_it(head, tmp_path):
    from jean.inspection.run import InspectConfig, inspect_run

    assert inspect_run(head, [], tmp_path / "page", InspectConfig(), Silent())


def test_evaluate_scores_it_against_itself(written, tmp_path):
    from jean.evaluation.evaluate import EvaluateConfig, evaluate

    config = EvaluateConfig(reference=written, tracker="reference", ground_truth=False, metrics=("image", "landmarks"))
    row = evaluate([written], config, tmp_path / "out")["rows"][0]
    assert row["values"]["psnr_db"] == 100.0


def test_the_writer_replaces_a_clip_completely(tmp_path):
    folder = make_clip(tmp_path / "clip", frames=4, size=32)
    clip = Clip.open(folder)
    arrays, meta = dict(clip.arrays), clip.meta
    writer = ClipWriter(folder)
    assert not (folder / "clip.json").exists() and not (folder / "audio.wav").exists()
    writer.arrays(arrays)
    names = ("frames", "size_px", "fps", "camera", "tracker", "expression")
    bare = writer.finish(**{name: getattr(meta, name) for name in names}, pictures=False)
    assert set(bare.meta.files) == {"arrays.safetensors"}


def test_a_clip_that_would_not_open_is_not_finished(tmp_path):
    clip = Clip.open(make_clip(tmp_path / "clip", frames=4, size=16))
    shutil.copytree(clip.folder, tmp_path / "copy")
    writer = ClipWriter(tmp_path / "copy", keep=True)
    writer.arrays({**clip.arrays, "landmarks": np.zeros((3, 68, 2), np.float32)})
    names = ("frames", "size_px", "fps", "camera", "tracker", "expression", "audio")
    with pytest.raises(Exception, match="landmarks has shape"):
        writer.finish(**{name: getattr(clip.meta, name) for name in names})
    assert not (tmp_path / "copy" / "clip.json").exists()
