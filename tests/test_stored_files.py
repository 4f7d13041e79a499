"""Every file that jean reads back: parsable but wrong content is an error that names the file, never a crash.

Hashes are made right again after each change, so that it reaches the reader behind them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load
from safetensors.numpy import save as save_arrays

from jean import checkpoint as checkpoints
from jean.clips.clip import Clip
from jean.clips.corpus import find_clips
from jean.clips.meta import ARRAYS_FILE, AUDIO_FILE, META
from jean.clips.writer import file_facts
from jean.drivers import person as people
from jean.drivers.gaze_response import AxisResponse, GazeResponse
from jean.drivers.lip_response import LipResponse
from jean.drivers.method import Method
from jean.drivers.named_expression import read_timeline
from jean.drivers.pose import read_poses
from jean.drivers.response import Curve
from jean.errors import ArtefactError, InputError, JeanError
from jean.evaluation.pairing import make_plan
from jean.features.trackers.truth_file import load_matte, load_truth, matte_path, save_matte
from jean.integrity import HashCache, seal
from jean.lips.prior import LipTrack
from jean.media import write_wav
from jean.models.stored import load_audio_encoder, load_expression_transformer, load_landmark_autoencoder
from jean.preparation.store import StepStore
from jean.progress import Silent
from jean.provenance import check, manifest, unchanged, write_manifest
from jean.rendering.frame_store import FrameStore
from jean.rendering.load import load_model
from jean.train.audio.config import AudioConfig
from jean.train.audio.stage import train_audio
from jean.train.engine import run_folder
from jean.train.expression.config import ExpressionConfig
from jean.train.expression.stage import train_expression
from jean.train.landmarks.config import LandmarkConfig
from jean.train.landmarks.stage import train_landmarks
from jean.train.nerf.train import NerfConfig, train_nerf
from jean.weights import store as weights
from tests.helpers.eye_clip import clip_of
from tests.helpers.mutations import Arrays, text_of, wrong_arrays, wrong_documents, wrong_texts
from tests.helpers.tiny_corpus import make_corpus
from tests.helpers.tiny_stage import train

EXAMPLES = 25
FACTOR = int(os.environ.get("JEAN_FUZZ", "1"))  # JEAN_FUZZ=40 tries a thousand and more of each


def fuzz(count: int = EXAMPLES) -> Callable[..., Any]:
    return settings(
        max_examples=count * FACTOR,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def survives(read: Callable[[], Any], *kinds: type[JeanError]) -> bool:
    """Whether a file is read; any other error than those of damaged artefacts and data fails the test."""
    expected = kinds or (ArtefactError, InputError)
    try:
        read()
    except expected:
        return False
    return True


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clip, a corpus and a tiny run of every stage. Tests restore what they change."""
    root = tmp_path_factory.mktemp("stored")
    clip_of(root / "clip", np.linspace(-5, 5, 16).reshape(8, 2), np.full(8, 0.8))  # with irises: the head takes eyes
    corpus = make_corpus(root / "corpus", people=2, sentences=1, frames=16, size=24)
    quiet = Silent()
    train_landmarks([corpus], root / "landmarks", LandmarkConfig(steps=1, batch=8, device="cpu"), quiet)
    train_audio([corpus], root / "landmarks", root / "audio", AudioConfig(steps=1, batch=8, device="cpu"), quiet)
    small = {"hidden": 8, "width": 4, "layers": 1, "heads": 2, "feedforward": 8, "window": 4}
    config = ExpressionConfig(steps=1, batch=4, device="cpu", person="p0", **small)
    train_expression([corpus], root / "expression", config, quiet)
    config = NerfConfig(steps=1, rays=144, device="cpu", expression_run=root / "expression", audio_run=root / "audio")
    train_nerf([corpus / "p0"], root / "head", config, quiet)
    train_nerf([root / "clip"], root / "plain", NerfConfig(steps=1, rays=144, device="cpu"), quiet)
    train(root / "stage")
    return root


@pytest.fixture
def kept(folder):
    """Restores the files of ``folder`` that a test changes."""
    contents: dict[Path, bytes] = {}

    def write(path: Path, content: bytes | str) -> Path:
        contents.setdefault(path, path.read_bytes())
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    yield write
    for path, content in contents.items():
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["clip", "corpus/p0/sad_001"])
def test_clip_json(folder, kept, name):
    path = folder / name / META
    whole = json.loads(path.read_text())

    def use() -> None:
        clip = Clip.open(path.parent)
        clip.digest()
        clip.upper_face()
        clip.differences(Clip.open(folder / "clip").spec("size_px", "fps", "tracker", "expression", "audio"))
        _ = clip.camera, clip.frames[0], clip.background, clip.audio_features, clip.emotion_features

    @fuzz(60)
    @given(wrong_documents(whole))
    def run(document):
        kept(path, text_of(document))
        survives(use)

    run()


@pytest.mark.parametrize("file", [ARRAYS_FILE, AUDIO_FILE])
def test_arrays_of_a_clip(folder, kept, file):
    path = folder / "clip" / file
    whole = json.loads((folder / "clip" / META).read_text())

    @fuzz()
    @given(wrong_arrays(Arrays(path)))
    def run(content):
        kept(path, content)
        kept(folder / "clip" / META, text_of(whole | {"files": whole["files"] | {file: file_facts(path).to_json()}}))
        survives(lambda: Clip.open(folder / "clip"))

    run()


READERS = {
    "landmarks": load_landmark_autoencoder,
    "audio": load_audio_encoder,
    "expression": load_expression_transformer,
    "head": lambda run: use_head(run),
    "stage": lambda run: train(run),
}


def use_head(run: Path) -> None:
    checkpoint = checkpoints.load_checkpoint(run, stage="nerf")
    Method.of_run(checkpoint)
    load_model(checkpoint, "cpu")


def with_payload(run: Path, kept: Callable[[Path, Any], Path], payload: Any) -> None:
    """Replaces the payload of the newest checkpoint, with the right hash."""
    kept(checkpoints._json_paths(run)[0], checkpoints._document(payload))


@pytest.mark.parametrize("name", READERS)
def test_payload_of_a_checkpoint(folder, kept, name):
    run_of_stage = folder / name
    whole = checkpoints.load_checkpoint(run_of_stage).payload

    @fuzz(10 if name == "head" else EXAMPLES)  # a head takes a tenth of a second to build
    @given(wrong_documents(whole["meta"]), wrong_documents({**whole, "meta": {}}), st.booleans())
    def run(meta, payload, of_meta):
        wrong = {**whole, "meta": meta} if of_meta else {**payload, "meta": whole["meta"]}
        with_payload(run_of_stage, kept, wrong if isinstance(wrong, dict) else {})
        survives(lambda: READERS[name](run_of_stage))
        checkpoints.stored_steps(run_of_stage)

    run()


def test_tensors_of_a_checkpoint(folder, kept):
    run_folder_ = folder / "landmarks"
    path = checkpoints._json_paths(run_folder_)[0].with_suffix(".safetensors")
    whole = checkpoints.load_checkpoint(run_folder_).payload

    @fuzz()
    @given(wrong_arrays(Arrays(path)))
    def run(content):
        kept(path, content)
        with_payload(run_folder_, kept, whole | {"tensors_sha256": hashlib.sha256(content).hexdigest()})
        survives(lambda: load_landmark_autoencoder(run_folder_))

    run()


@pytest.mark.parametrize("name", ["head", "plain"])
def test_person(folder, kept, name):
    path = folder / name / people.NAME

    def use() -> None:
        person = people.read_person(folder / name)
        person.still_index()
        person.support.expression.limit(person.expression)
        person.support.limit_offsets(person.offsets)
        person.support.pose.limit(person.camera_to_world)
        person.predict_offsets(person.expression)
        if person.eyes is not None:
            person.eyes.limit(person.eyes.values)
            person.eyes.told_by(person.expression)
        if person.style is not None:
            person.style.lips(
                LipTrack(np.zeros((9, 2)), np.ones(9, bool), person.style.quantiles, np.zeros(9)), np.arange(3.0)
            )

    @fuzz(60)
    @given(wrong_arrays(Arrays(path)), st.sampled_from([{"clip": "x"}, {}, {"clip": "x", "sha256": "0"}]))
    def run(content, metadata):
        arrays = load(content)
        if "sha256" not in metadata and metadata:
            metadata = metadata | {"sha256": people._content_hash(arrays, "x")}
        kept(path, save_arrays(arrays, metadata or None))
        with np.errstate(all="ignore"):
            survives(use)

    run()


def test_files_of_a_training(folder, kept):
    run_of_stage = folder / "stage"
    metrics = json.loads((run_of_stage / run_folder.METRICS).read_text())
    log = (run_of_stage / run_folder.LOG).read_text()
    newest = checkpoints.load_checkpoint(run_of_stage).content_hash

    @fuzz()
    @given(wrong_documents({k: v for k, v in metrics.items() if k != "sha256"}), wrong_texts(log), st.booleans())
    def run(document, text, sealed):
        if sealed and isinstance(document, dict):
            document = document | {"sha256": seal(document)}
        kept(run_of_stage / run_folder.METRICS, text_of(document))
        found = run_folder.finished_metrics(run_of_stage, newest)
        assert found is None or {"steps", "seconds"} <= set(found)
        kept(run_of_stage / run_folder.LOG, text)
        survives(lambda: run_folder.read_log(run_of_stage))

    run()


def test_manifest(tmp_path):
    output = tmp_path / "out.bin"
    output.write_bytes(b"film")
    document = manifest("render", {"audio": output}, {"a": 1}, {"frames": 3})
    path = write_manifest(output, document, others={"frames": output})
    whole = json.loads(path.read_text())

    @fuzz(80)
    @given(wrong_documents(whole))
    def run(wrong):
        path.write_text(text_of(wrong), encoding="utf-8")
        report = check(output)
        assert report["ok"] == (unchanged(output) is not None)
        unchanged(output, {"frames": output})

    run()


def test_records_of_finished_work(tmp_path):
    step = StepStore(tmp_path).run("a", {}, lambda out: (out / "x").write_text("1") and {}, products=[])
    store = FrameStore(tmp_path / "work", {"sha256": "a"}, 1, 8, False)
    store.write(0, np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8)))
    png = store._path(0).read_bytes()
    record = (step.folder / "step.json").read_text()

    @fuzz(40)
    @given(wrong_texts(record), wrong_texts(png.decode("latin-1")))
    def run(text, image):
        (step.folder / "step.json").write_bytes(text)
        StepStore(tmp_path).run("a", {}, lambda out: (out / "x").write_text("1") and {})
        store._path(0).write_bytes(image.decode("utf-8", "ignore").encode("latin-1", "ignore"))
        found = store.read(0)
        assert found is None or (found == 0).all()
        (tmp_path / "work" / "key.json").write_bytes(text)
        FrameStore(tmp_path / "work", {"sha256": "a"}, 1, 8, False)
        (tmp_path / ".verified.json").write_bytes(text)
        (tmp_path / "content").write_bytes(b"x")
        assert HashCache(tmp_path).sha256("content") == hashlib.sha256(b"x").hexdigest()

    run()


def test_poses_and_timelines(tmp_path):
    poses, timeline = tmp_path / "poses.json", tmp_path / "line.csv"
    whole = {"fps": 25, "camera_to_world": [np.eye(4).tolist()] * 2}

    @fuzz(60)
    @given(
        wrong_documents(whole), wrong_texts(text_of(whole)), wrong_texts("time_s,expression,strength\n0,a,1\n1,b,0.5\n")
    )
    def run(document, text, table):
        poses.write_text(text_of(document), encoding="utf-8")
        survives(lambda: read_poses(poses, "truth", Silent()))
        poses.write_bytes(text)
        survives(lambda: read_poses(poses, "truth", Silent()))
        timeline.write_bytes(table)
        survives(lambda: read_timeline(timeline), JeanError)

    run()


def test_tables_of_corpora_and_pairs(folder, tmp_path):
    table = tmp_path / "table.csv"
    names = ["p0/happy_001", "p0/sad_001", "p1/happy_001", "p1/sad_001"]
    corpus = "file,person,emotion,level,sentence\n" + "".join(f"{name},a,happy,1,1\n" for name in names)
    pairs = "name,reference,audio_source\nhappy_001,happy_001,\n"

    @fuzz(40)
    @given(wrong_texts(corpus), wrong_texts(pairs))
    def run(of_corpus, of_pairs):
        table.write_bytes(of_corpus)
        survives(lambda: find_clips([folder / "corpus"], table), JeanError)
        table.write_bytes(of_pairs)
        partners = {"reference": folder / "corpus" / "p1", "expression_source": None, "audio_source": None}
        systems = {"": [folder / "corpus" / "p0"]}
        survives(lambda: make_plan(systems, partners, table, {"audio": (), "expression": ()}), JeanError)

    run()


def test_ground_truth(tmp_path):
    from jean.features.trackers.truth_file import Truth, save_truth, truth_path

    video = tmp_path / "a.mp4"
    save_truth(truth_path(video), Truth({"x": np.zeros(3)}, {"camera": {"focal_px": 1.0}}))
    save_matte(matte_path(video), np.zeros((1, 2, 2, 2), np.uint8))
    truth, matte = truth_path(video).read_bytes(), matte_path(video).read_bytes()

    @fuzz(40)
    @given(st.integers(0, len(truth) - 1), st.integers(0, len(matte) - 1), st.integers(1, 255))
    def run(where, of_matte, change):
        truth_path(video).write_bytes(truth[:where] + bytes([truth[where] ^ change]) + truth[where + 1 :])
        survives(lambda: load_truth(video))
        matte_path(video).write_bytes(matte[:of_matte] + bytes([matte[of_matte] ^ change]) + matte[of_matte + 1 :])
        survives(lambda: load_matte(video))

    run()


def test_recorded_hashes_of_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("JEAN_MODELS", str(tmp_path))
    name = next(name for name, item in weights.register().items() if not item.has_sha256 and "/" not in name)
    (tmp_path / name).write_bytes(b"weights")
    write_wav(tmp_path / "x.wav", np.zeros(4, np.float32), 16000)

    @fuzz()
    @given(wrong_documents({name: "a" * 64}), wrong_texts('{"a": "b"}'), st.booleans())
    def run(document, text, parsable):
        content = text_of(document).encode() if parsable else text
        (tmp_path / "recorded.json").write_bytes(content)
        survives(lambda: weights.check(tmp_path / name, name))

    run()


@pytest.mark.parametrize("kind", [LipResponse, GazeResponse])
def test_responses(tmp_path, kind):
    curve = Curve(asked=[0.0, 1.0, 2.0], rendered=[0.0, 0.5, 1.5])
    axis = AxisResponse(curve=curve, with_turn=0.2, mean_turn_deg=1.0)
    parts = {"opening": curve, "width": curve} if kind is LipResponse else {"across": axis, "down": axis}
    whole = kind(checkpoint="a", tracker="t", **parts).model_dump()
    stored = SimpleNamespace(path=tmp_path / "checkpoints" / "last-1.json", content_hash="a")
    others = () if kind is LipResponse else (np.ones((3, 2)),)

    def use() -> None:
        response = kind.read(stored)
        if response is not None:
            assert np.isfinite(response.ask_for(np.ones((3, 2)), *others)).all()

    @fuzz(60)
    @given(wrong_documents(whole))
    def run(document):
        sealed = {**document, "sha256": seal(document)} if isinstance(document, dict) else document
        (tmp_path / kind.FILE).write_text(text_of(sealed))
        survives(use)

    run()
