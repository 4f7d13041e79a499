"""Files of the synthetic speaker: videos, ground truth, corpora; and the tracker that reads the truth."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from jean.clips import mead
from jean.errors import ArtefactError, InputError, UsageError
from jean.features.trackers.truth_file import Truth, load_matte, load_truth, save_truth, truth_path
from jean.synthetic_speaker.speaker_video import write_speaker_video
from jean.synthetic_speaker.video_corpus import plan_corpus, write_video_corpus

SIZE = 64


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    pytest.importorskip("av")
    stem = tmp_path_factory.mktemp("clips") / "Zoë's clip; 1.0"
    return write_speaker_video(stem, 2, "sad", 1.0, ["my mother"], fps=5.0, size=SIZE, seed=5)


def test_a_written_video_has_frames_sound_and_truth(video):
    from jean.media import probe, read_frames, read_wav

    assert video.name == "Zoë's clip; 1.0.mp4"
    info, truth = probe(video), load_truth(video)
    count = len(truth.arrays["times_s"])
    assert (info.width_px, info.height_px, info.frame_count) == (SIZE, SIZE, count)
    assert info.has_audio
    wave, rate = read_wav(video.with_name("Zoë's clip; 1.0.wav"))
    assert rate == 16000 and len(wave) / rate == pytest.approx(count / 5, abs=1e-3)
    assert truth.meta["sentences"] == ["my mother"] and truth.meta["emotion"] == "sad"
    assert len(truth.meta["phonemes"]) == len(truth.arrays["phoneme_starts_s"])
    shapes = {"landmarks": (68, 2), "irises": (2, 2), "camera_to_world": (4, 4), "gaze": (2,)}
    for name, shape in shapes.items():
        assert truth.arrays[name].shape == (count, *shape)
    assert truth.arrays["expression"].shape == (count, len(truth.meta["expression"]["names"]))
    upper = dict(zip(truth.meta["expression"]["names"], truth.meta["expression"]["upper"], strict=True))
    assert upper["brow_furrow"] and upper["gaze_x"] and not upper["jaw_open"] and not upper["smile"]
    assert load_matte(video).shape == (count, SIZE, SIZE, 2)
    assert len(list(read_frames(video, 5.0))) == count


def test_a_complete_video_is_kept_and_an_incomplete_one_is_written_again(video):
    before = video.stat().st_mtime_ns
    stem = video.with_suffix("")
    write_speaker_video(stem, 2, "sad", 1.0, ["my mother"], fps=5.0, size=SIZE, seed=5)
    assert video.stat().st_mtime_ns == before
    truth_path(video).unlink()  # the state after an interruption
    write_speaker_video(stem, 2, "sad", 1.0, ["my mother"], fps=5.0, size=SIZE, seed=5)
    assert video.stat().st_mtime_ns != before
    load_truth(video)


def test_truth_tracker_returns_the_truth(video):
    from jean.features.registry import create
    from jean.media import read_frames

    tracker = create("tracker", "truth", video=video, device="cpu")
    truth = load_truth(video)
    faces = list(tracker.track(read_frames(video, 5.0)))
    assert all(len(detections) == 1 for detections in faces)
    for t, (face,) in enumerate(faces):
        np.testing.assert_array_equal(face.landmarks, truth.arrays["landmarks"][t])
        np.testing.assert_array_equal(face.camera_to_world, truth.arrays["camera_to_world"][t])
        np.testing.assert_array_equal(face.expression, truth.arrays["expression"][t])
    assert len(tracker.upper_face) == len(tracker.expression_names) == face.expression.size
    # Canonical points, posed and projected with the assumed camera, are near the tracked points.
    focal = tracker.assumed_focal_px(SIZE, SIZE)
    stable = tracker.stable_points
    to_camera = np.linalg.inv(face.camera_to_world)
    view = tracker.canonical_points[stable] @ to_camera[:3, :3].T + to_camera[:3, 3]
    projected = view[:, :2] / view[:, 2:] * focal + SIZE / 2
    assert np.abs(projected - face.points[stable]).max() < 0.5
    twice = np.zeros((2 * SIZE, 2 * SIZE, 3), np.uint8)
    (bigger,) = next(iter(tracker.track([(0.0, twice)])))
    np.testing.assert_allclose(bigger.landmarks, 2 * truth.arrays["landmarks"][0], rtol=1e-6)
    assert tracker.assumed_focal_px(2 * SIZE, 2 * SIZE) == pytest.approx(2 * focal)


def test_truth_tracker_rejects_videos_sizes_and_times_without_truth(video, tmp_path):
    from jean.features.trackers.ground_truth import TruthTracker

    with pytest.raises(InputError, match="no ground truth"):
        TruthTracker(video=tmp_path / "hill.mp4")
    tracker = TruthTracker(video=video)
    with pytest.raises(InputError, match="square"):
        next(tracker.track([(0.0, np.zeros((4, 8, 3), np.uint8))]))
    with pytest.raises(InputError, match="no ground truth at"):
        next(tracker.track([(999.0, np.zeros((8, 8, 3), np.uint8))]))


def test_damaged_truth_is_rejected(tmp_path):
    path = tmp_path / "a.mp4"
    save_truth(truth_path(path), Truth({"x": np.arange(3.0)}, {"fps": 25}))
    good = truth_path(path).read_bytes()
    assert load_truth(path).meta == {"fps": 25}
    truth_path(path).write_bytes(good[:-4])
    with pytest.raises(ArtefactError, match="damaged"):
        load_truth(path)
    truth_path(path).write_bytes(good.replace(b"jean-truth-1", b"jean-truth-9"))
    with pytest.raises(ArtefactError, match="jean-truth-9"):
        load_truth(path)


def test_corpus_plan_has_the_same_sentences_in_all_emotions(tmp_path):
    items = plan_corpus(tmp_path, people=3, sentences=2, layout="mead")
    assert len(items) == 3 * 2 * 4 and len({i.video for i in items}) == len(items)
    for number in (1, 2):
        assert len({i.text for i in items if i.sentence == number}) == 1
    names = {i.video.relative_to(tmp_path).as_posix() for i in items}
    person = items[0].person
    assert f"{person}/video/front/angry/level_3/001.mp4" in names
    assert f"{person}/video/front/neutral/level_1/002.mp4" in names
    sound = mead.sound_path(tmp_path / person / "video/front/angry/level_3/001.mp4")
    assert sound == tmp_path / person / "audio/angry/level_3/001.wav"
    with pytest.raises(UsageError, match="bored"):
        plan_corpus(tmp_path, emotions=("bored",))


def test_corpus_is_written_in_meads_layout(tmp_path):
    pytest.importorskip("av")
    calls = []
    items = write_video_corpus(
        tmp_path,
        people=1,
        sentences=1,
        emotions=("neutral", "angry"),
        layout="mead",
        fps=2.0,
        size=32,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 2), (2, 2)]
    for item in items:
        assert load_truth(item.video).meta["sentences"] == [item.text]
        assert mead.sound_path(item.video).is_file()
    with open(tmp_path / "corpus.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [r["emotion"] for r in rows] == ["neutral", "angry"]
    assert all((tmp_path / r["file"]).is_file() for r in rows)
