import csv
import json

import numpy as np
import pytest

from jean.clips.sources import expand, open_source
from jean.errors import InputError, SetupError, UsageError
from jean.evaluation.config import EvaluateConfig
from jean.evaluation.evaluate import evaluate
from jean.evaluation.thumbnails import Thumbnails
from jean.features import registry as adapters
from jean.features.base import Face
from jean.metrics import registry
from jean.metrics.faces import TrackedVideo
from tests.helpers.tiny_clip import write_clip

SIZE = 96
PLAIN = ("image", "pixels", "landmarks", "mouth", "pose", "jitter")


def shape(opening=0.1):
    """68 points around (0, 0), inter-ocular distance 40 px, inner lips ``opening`` apart."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.stack([26 * np.cos(angle), 30 * np.sin(angle)], 1)
    points[36], points[45] = (-20, -8), (20, -8)
    points[62], points[66] = (0, 12), (0, 12 + 40 * opening)
    return points


class DotTracker:
    """Finds the face at the brightest red pixel; its green value is the mouth opening."""

    name, version = "dot", "7"

    def __init__(self, video=None, device="cpu"):
        pass

    def track(self, frames):
        for _, image in frames:
            rows, columns = np.nonzero(image[..., 0] == 255)
            if not len(rows):
                yield []
                continue
            opening = image[rows[0], columns[0], 1] / 255
            points = (shape(opening) + np.array([columns[0], rows[0]])).astype(np.float32)
            irises = np.stack([points[36:42].mean(0), points[42:48].mean(0)])
            yield [Face(points, points, irises, np.array([opening, 0.5]), np.eye(4), 1.0)]


@pytest.fixture(autouse=True)
def dot_tracker(monkeypatch):
    monkeypatch.setitem(adapters.ADAPTERS["tracker"], "dot", f"{__name__}:DotTracker")


def picture(t, opening, noise=0.0):
    image = np.full((SIZE, SIZE, 3), 90, np.uint8)
    image[20:76, 20:76] = 140
    image += np.random.default_rng(t).integers(0, 20, image.shape).astype(np.uint8)
    image = np.clip(image + np.random.default_rng(99 + t).normal(0, noise, image.shape), 0, 250).astype(np.uint8)
    image[48, 48 + t % 3] = (255, round(255 * opening), 0)
    return image


def opening(t):
    return 0.2 + 0.15 * np.sin(t * 0.9)


def make_clip(folder, frames, fps=25.0):
    count = len(frames)
    matte = np.zeros((count, SIZE, SIZE, 2), np.uint8)
    matte[:, 10:86, 10:86, 0] = 255
    points = np.stack([shape(opening(t)) + np.array([48 + t % 3, 48]) for t in range(count)]).astype(np.float32)
    return write_clip(folder, np.stack(frames), matte, {"landmarks": points}, fps)


def config(reference, **options):
    plain = {"tracker": "dot", "ground_truth": False, "metrics": PLAIN}
    return EvaluateConfig(reference=reference, **plain | options)


def test_a_clip_against_itself_has_perfect_scores(tmp_path):
    clip = make_clip(tmp_path / "a", [picture(t, opening(t)) for t in range(20)])
    row = evaluate([clip], config(clip), tmp_path / "out")["rows"][0]
    values = row["values"]
    assert values["psnr_db"] == values["psnr_face_db"] == values["psnr_head_db"] == 100.0
    assert values["ssim"] == pytest.approx(1) and values["lmd_all"] == 0 and values["pose_error_deg"] == 0
    assert values["mouth_correlation"] == pytest.approx(1) and values["mouth_lag_s"] == 0
    assert row["notes"] == []
    details = json.loads((tmp_path / "out" / row["details"]).read_text())
    assert len(details["series"]["psnr_db"]) == 20 and "series" not in row


def test_a_requested_gpu_that_does_not_exist_is_a_setup_error(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "a", [picture(t, opening(t)) for t in range(3)])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SetupError, match="no CUDA device"):
        evaluate([clip], config(clip, device="cuda"))


def test_folders_are_paired_by_name_and_unpaired_files_are_reported(tmp_path):
    frames = [picture(t, opening(t)) for t in range(6)]
    for name in ("a", "b", "only_result"):
        make_clip(tmp_path / "ours" / name, [picture(t, opening(t), 4.0) for t in range(6)])
    for name in ("a", "b", "only_reference"):
        make_clip(tmp_path / "theirs" / name, frames)
    table = evaluate([tmp_path / "ours"], config(tmp_path / "theirs"), tmp_path / "out")
    assert [row["name"] for row in table["rows"]] == ["a", "b"]
    assert [path.rsplit("/")[-1] for path in table["unpaired"]["results"]] == ["only_result"]
    assert [path.rsplit("/")[-1] for path in table["unpaired"]["references"]] == ["only_reference"]
    values = [row["values"]["psnr_db"] for row in table["rows"]]
    assert table["mean"]["psnr_db"] == pytest.approx(np.mean(values)) and table["mean_over"]["psnr_db"] == 2
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written == json.loads(json.dumps(table))
    with open(tmp_path / "out" / "metrics.csv") as handle:
        lines = list(csv.DictReader(handle))
    assert [float(line["psnr_db"]) for line in lines] == values
    text = (tmp_path / "out" / "metrics.md").read_text()
    assert "only_result has no reference" in text and "| mean |" in text
    page = (tmp_path / "out" / "report.html").read_text()
    assert "only_reference has no result" in page and page.count("data:image/webp") == 2 * 2 * 6


def test_unequal_lengths_are_counted_on_both_sides(tmp_path):
    long = make_clip(tmp_path / "long", [picture(t, opening(t)) for t in range(17)])
    short = make_clip(tmp_path / "short", [picture(t, opening(t)) for t in range(11)])
    for result, reference, left in ((long, short, (6, 0)), (short, long, (0, 6))):
        row = evaluate([result], config(reference))["rows"][0]
        assert (row["frames"]["left_result"], row["frames"]["left_reference"]) == left
        assert row["frames"]["compared"] == 11
        assert "11 frames compared" in row["notes"][0]
        assert row["values"]["psnr_db"] == 100.0


def test_videos_of_different_frame_rates_are_compared_by_time(tmp_path):
    slow = make_clip(tmp_path / "slow", [picture(t, opening(t)) for t in range(10)])
    fast = make_clip(tmp_path / "fast", [picture(t // 2, opening(t // 2)) for t in range(20)], fps=50.0)
    row = evaluate([fast], config(slow))["rows"][0]
    assert row["fps"] == 25.0 and row["frames"]["compared"] == 10
    assert row["values"]["psnr_db"] == 100.0
    assert row["notes"] == ["The result has 50 frames/s, compared at 25 by time stamps."]


def test_reference_start_selects_held_out_frames(tmp_path):
    whole = make_clip(tmp_path / "whole", [picture(t, opening(t)) for t in range(20)])
    tail = make_clip(tmp_path / "tail", [picture(t, opening(t)) for t in range(15, 20)])
    row = evaluate([tail], config(whole, reference_start_s=0.6))["rows"][0]
    assert row["frames"]["compared"] == 5 and row["frames"]["left_reference"] == 0
    assert row["values"]["psnr_db"] == 100.0
    with pytest.raises(InputError, match="do not overlap in time"):
        evaluate([tail], config(whole, reference_start_s=5.0))


def test_lost_faces_are_counted_and_left_out(tmp_path):
    frames = [picture(t, opening(t)) for t in range(12)]
    reference = make_clip(tmp_path / "reference", frames)
    blank = [np.full_like(frame, 30) if t in (3, 4) else frame for t, frame in enumerate(frames)]
    row = evaluate([make_clip(tmp_path / "result", blank)], config(reference), tmp_path / "out")["rows"][0]
    assert row["frames"]["no_face_result"] == 2 and row["frames"]["no_face_reference"] == 0
    assert row["values"]["psnr_db"] == 100.0, "the aligned box needs both faces"
    assert row["values"]["psnr_face_db"] < 100.0, "the same pixels are there without the result's face"
    details = json.loads((tmp_path / "out" / row["details"]).read_text())
    assert details["series"]["psnr_db"][3] is None
    assert any("No face in 2 frames of the result" in note for note in row["notes"])


def test_the_reference_tracker_measures_nothing_on_the_result(tmp_path):
    reference = make_clip(tmp_path / "reference", [picture(t, opening(t)) for t in range(8)])
    result = make_clip(tmp_path / "result", [picture(t, opening(t), 5.0) for t in range(8)])
    values = evaluate([result], config(reference, tracker="reference"))["rows"][0]["values"]
    assert 25 < values["psnr_db"] < 50 and values["psnr_face_db"] < 50
    for name in ("lmd_all", "mouth_correlation", "pose_error_deg", "jitter"):
        assert values[name] is None
    video = tmp_path / "a.mp4"
    video.write_bytes(b"x")
    with pytest.raises(UsageError, match="clip folders"):
        evaluate([result], config(video, tracker="reference"))


def test_a_repeated_evaluation_computes_only_what_changed(tmp_path, monkeypatch):
    frames = [picture(t, opening(t)) for t in range(6)]
    for name in ("a", "b"):
        make_clip(tmp_path / "refs" / name, frames)
        make_clip(tmp_path / "ours" / name, [picture(t, opening(t), 3.0) for t in range(6)])
    run = lambda **options: evaluate([tmp_path / "ours"], config(tmp_path / "refs", **options), tmp_path / "out")  # noqa: E731
    first = run()
    calls = []
    track = DotTracker.track
    monkeypatch.setattr(DotTracker, "track", lambda self, frames: (calls.append(1), track(self, frames))[1])
    assert run() == first and calls == []
    make_clip(tmp_path / "ours" / "a", [picture(t, opening(t), 3.0)[:, ::-1] for t in range(6)])
    changed = run()
    assert len(calls) == 2
    assert changed["rows"][0] != first["rows"][0] and changed["rows"][1] == first["rows"][1]
    run(metrics=("image",))
    assert len(calls) == 2, "numbers are kept by metric"
    monkeypatch.setattr(registry.load("jitter"), "version", "next")
    again = run()
    assert len(calls) == 6, "both results and both references, once each"
    assert again["rows"] == changed["rows"]


@pytest.mark.parametrize("content", ["", "[]", '{"values": {}}', None])
def test_damaged_numbers_of_an_earlier_evaluation_are_computed_again(tmp_path, content):
    clip = make_clip(tmp_path / "a", [picture(t, opening(t)) for t in range(4)])
    first = evaluate([clip], config(clip), tmp_path / "out")
    for path in (tmp_path / "out" / "rows").glob("*/*.json"):
        path.write_text(path.read_text().replace("100.0", "99.0") if content is None else content)
    assert evaluate([clip], config(clip), tmp_path / "out") == first


def test_missing_weights_of_one_metric_do_not_stop_the_others(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "a", [picture(t, opening(t)) for t in range(6)])

    def refuse(self, context, options):
        raise SetupError("no weights.", "Run: jean models pull x")

    monkeypatch.setattr(registry.load("pose"), "__init__", refuse)
    table = evaluate([clip], config(clip), tmp_path / "out")
    assert table["missing"] == {"pose": "no weights. Run: jean models pull x"}
    assert table["rows"][0]["values"]["psnr_db"] == 100.0
    assert "jean models pull x" in (tmp_path / "out" / "metrics.md").read_text()
    monkeypatch.undo()


def test_unusable_arguments_are_errors(tmp_path):
    clip = make_clip(tmp_path / "a", [picture(0, 0.1)])
    with pytest.raises(UsageError, match="no metric called 'psnrr'"):
        evaluate([clip], config(clip, metrics=("psnrr",)))
    with pytest.raises(UsageError, match="no tracker called"):
        evaluate([clip], config(clip, tracker="dots"))
    with pytest.raises(UsageError, match="truth"):
        evaluate([clip], config(clip, tracker="truth"))
    with pytest.raises(InputError, match="neither a video nor"):
        evaluate([tmp_path / "none"], config(clip))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no video"):
        expand(tmp_path / "empty")
    make_clip(tmp_path / "refs" / "other", [picture(0, 0.1)])
    with pytest.raises(InputError, match="same name"):
        evaluate([clip], config(tmp_path / "refs"))
    with pytest.raises(UsageError, match="no result"):
        evaluate([], config(clip))
    (tmp_path / "twice").mkdir()
    for suffix in ("mp4", "mov"):
        (tmp_path / "twice" / f"x.{suffix}").write_bytes(b"")
    with pytest.raises(UsageError, match="same name"):
        expand(tmp_path / "twice")


def test_the_same_face_is_followed_among_several():
    def face(x, size):
        points = (shape() * size + np.array([x, 50])).astype(np.float32)
        return Face(points, points, np.full((2, 2), np.nan), np.zeros(0), None, 1.0)

    class Two:
        def track(self, frames):
            for number, _ in enumerate(frames):
                yield [face(20, 1.0), face(80, 0.5)] if number == 0 else [face(80, 2.0), face(22, 1.0)]

    frames = [(t / 25, np.zeros((8, 8, 3), np.uint8), None) for t in range(3)]
    video = TrackedVideo(frames, Two())
    centres = [side.face.landmarks[:, 0].mean() for _, side in video]
    assert max(centres) < 40
    assert video.with_several == 3


def test_thumbnails_are_few_and_evenly_spaced():
    from jean.metrics.base import TrackedFrame

    thumbnails = Thumbnails(6)
    image = np.zeros((4, 4, 3), np.uint8)
    for t in range(1000):
        thumbnails.add(t, {"result": TrackedFrame(image, None), "reference": TrackedFrame(image, None)})
    times = [moment[0] for moment in thumbnails.selected()]
    assert len(times) == 6 and times[0] == 0 and times[-1] > 800
    assert np.ptp(np.diff(times)) <= 128


def test_a_clip_yields_the_same_frames_as_its_video(tmp_path):
    """Clips and videos select frames by the same rule of nearest time stamps."""
    from jean.media import VideoWriter, read_frames

    with VideoWriter(tmp_path / "a.mp4", (SIZE, SIZE), 30.0, crf=0) as writer:
        for t in range(13):
            writer.write(np.full((SIZE, SIZE, 3), 10 + 15 * t, np.uint8))
    own = [image for _, image in read_frames(tmp_path / "a.mp4")]
    clip, video = open_source(make_clip(tmp_path / "a", own, fps=30.0)), open_source(tmp_path / "a.mp4")
    for fps in (10.0, 24.0, 25.0, 30.0, 47.0, 60.0):
        for start_s in (0.0, 0.1, 0.21):
            ours, theirs = list(clip.frames(fps, start_s)), list(video.frames(fps, start_s))
            assert len(ours) == len(theirs) > 0
            for left, right in zip(ours, theirs, strict=True):
                assert left[0] == pytest.approx(right[0])
                np.testing.assert_array_equal(left[1], right[1])


def test_clip_frames_at_another_rate_are_the_nearest_in_time(tmp_path):
    clip = make_clip(tmp_path / "a", [np.full((SIZE, SIZE, 3), t, np.uint8) for t in range(10)], fps=30.0)
    source = open_source(clip)
    assert [int(image[0, 0, 0]) for _, image, _ in source.frames(30.0)] == list(range(10))
    at_25 = [int(image[0, 0, 0]) for _, image, _ in source.frames(25.0)]
    assert at_25 == [0, 1, 2, 4, 5, 6, 7, 8, 9], "nearest, of two the earlier"
