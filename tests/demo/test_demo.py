"""The demo: driving clips, ground truth of the render, mouth measurements, stages, the whole run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from jean.clips.clip import Clip
from jean.clips.meta import ClipMeta
from jean.demo.config import DemoConfig
from jean.demo.cross_driven import cross_driven_performance, write_truth_clip
from jean.demo.demo_clips import EXPRESSION, POSE, SPEECH, TRAIN, DemoClip, clips_of_role, plan_clips
from jean.demo.measurements import lower_lip_edge, mouth_patch
from jean.demo.run import DemoStages, run_demo
from jean.drivers.pose_support import PoseSupport
from jean.features.trackers.truth_file import load_truth
from jean.geometry import Camera
from jean.metrics.mouth import correlation
from jean.progress import Silent
from jean.synthetic_speaker.controls import CONTROLS, SPEECH_CONTROLS
from jean.synthetic_speaker.performance import clip_camera, perform, project_to_pixels
from jean.synthetic_speaker.speaker_identity import sample_identity
from jean.synthetic_speaker.speaker_video import write_speaker_video
from jean.weights import store as weights


@pytest.mark.parametrize("short", [True, False])
def test_driving_clips_are_not_trained_on_and_equally_long(short: bool) -> None:
    clips = plan_clips(DemoConfig(short=short))
    performances = {
        c.name: perform(sample_identity(0), c.emotion, c.strength, seconds=c.seconds, seed=c.seed) for c in clips
    }
    trained_sentences = {s for c in clips_of_role(clips, TRAIN) for s in performances[c.name].sentences}
    assert trained_sentences.isdisjoint(performances[clips_of_role(clips, SPEECH)[0].name].sentences)
    lengths = {performances[clips_of_role(clips, role)[0].name].frame_count for role in (SPEECH, EXPRESSION, POSE)}
    assert len(lengths) == 1, "no source has to be mirrored in time"
    assert {c.emotion for c in clips_of_role(clips, TRAIN)} >= {clips_of_role(clips, EXPRESSION)[0].emotion}


def test_cross_driven_performance_takes_each_track_from_its_source() -> None:
    speech, expression, pose = (
        perform(sample_identity(0), emotion, seconds=2.0, seed=seed)
        for emotion, seed in (("neutral", 1), ("happy", 2), ("sad", 3))
    )
    mixed = cross_driven_performance(speech, expression, pose)
    lips = [CONTROLS.index(name) for name in SPEECH_CONTROLS]
    others = [k for k in range(len(CONTROLS)) if k not in lips]
    np.testing.assert_array_equal(mixed.motion.controls[:, lips], speech.motion.controls[:, lips])
    np.testing.assert_array_equal(
        mixed.motion.controls[:, others], expression.motion.controls[: mixed.frame_count, others]
    )
    np.testing.assert_array_equal(mixed.motion.turn_rad, pose.motion.turn_rad[: mixed.frame_count])
    assert mixed.wave is speech.wave


def test_cross_driven_performance_mirrors_shorter_sources() -> None:
    speech = perform(sample_identity(0), seconds=3.0, seed=1)
    pose = perform(sample_identity(0), sentences=["they wait"], seed=3)
    n = pose.frame_count
    assert n < speech.frame_count
    turn = cross_driven_performance(speech, speech, pose).motion.turn_rad
    np.testing.assert_array_equal(turn[n - 1], pose.motion.turn_rad[n - 1])
    np.testing.assert_array_equal(turn[n], pose.motion.turn_rad[n - 2])


def small_trained_clip(folder: Path, crop: dict[str, int], size: int) -> Clip:
    meta = ClipMeta(
        frames=1,
        size_px=size,
        fps=25.0,
        camera={"focal_px": 100.0, "center_px": [size / 2, size / 2]},
        tracker={"name": "truth", "version": "1"},
        expression={"name": "truth", "version": "1", "names": [], "upper": []},
        crop=crop,
    )
    return Clip(folder, meta)


def test_truth_of_a_clip_driven_by_itself_is_that_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One clip in all roles, seen through the crop of a prepared clip.

    Poses are moved to the mean pose of the training frames, which exclude the held-out last tenth.
    """
    from jean.media import read_frames

    item = DemoClip("a", SPEECH, "happy", 1.0, 0.4, 5)
    video = write_speaker_video(
        tmp_path / "a", 0, "happy", 1.0, sentences=["you"], seconds=None, size=96, seed=5, matte=False
    )
    own = load_truth(video)
    seconds = len(own.arrays["times_s"]) / 25
    crop = {"left_px": 16, "top_px": 8, "side_px": 64}
    trained = small_trained_clip(tmp_path / "none", crop, 64)
    clips = dict.fromkeys((SPEECH, EXPRESSION, POSE), item)

    import jean.demo.cross_driven as cross_driven

    performance = perform(sample_identity(0), "happy", 1.0, sentences=["you"], seed=5)
    monkeypatch.setattr(cross_driven, "perform", lambda *args, **options: performance)
    result = write_truth_clip(tmp_path / "truth", clips, 0, 96, trained, [video], Silent())
    n_train = len(own.arrays["times_s"]) - round(0.1 * len(own.arrays["times_s"]))
    poses = PoseSupport.fit(own.arrays["camera_to_world"][:n_train]).retarget(own.arrays["camera_to_world"])
    camera = clip_camera(96)
    points = zip(own.arrays["landmarks_3d"], poses, strict=True)
    landmarks = np.stack([project_to_pixels(point, np.linalg.inv(pose), camera) for point, pose in points])
    clip = Clip.open(tmp_path / "truth")
    assert result["frames"] == clip.frame_count == round(seconds * 25)
    np.testing.assert_allclose(result["mouth_opening"], own.arrays["mouth_opening"], atol=1e-9)
    np.testing.assert_allclose(clip.arrays["landmarks"], landmarks - [16, 8], atol=1e-3)
    np.testing.assert_allclose(clip.arrays["camera_to_world"], poses, atol=1e-9)
    for t, (_, image) in enumerate(read_frames(video)):
        inside = clip.matte[t][..., 0] > 250
        difference = np.abs(image[8:72, 16:80].astype(int) - clip.frames[t])[inside]
        assert difference.mean() < 12, "apart from compression, the heads are equal"
    assert (clip.frames[:, 0, 0] == 255).all(), "the background is white"


def lips_patch(bottom_row: int, skin: tuple[int, int, int] = (200, 150, 125)) -> np.ndarray:
    patch = np.full((64, 64, 3), skin, np.uint8)
    patch[10:14, 8:56] = (190, 90, 85)
    patch[14 : bottom_row - 6, 12:52] = (50, 20, 20)
    patch[bottom_row - 6 : bottom_row, 12:52] = (190, 90, 85)
    return patch


@pytest.mark.parametrize("skin", [(200, 150, 125), (112, 74, 56), (238, 202, 182)])
def test_lower_lip_edge_follows_the_lower_lip(skin: tuple[int, int, int]) -> None:
    bottoms = np.array([22.0, 26, 30, 36, 41, 46])
    edges = np.array([lower_lip_edge(lips_patch(int(row), skin)) * 64 for row in bottoms])
    assert correlation(edges, bottoms) > 0.995 and (np.diff(edges) > 0).all()
    assert (np.abs(edges - bottoms) < 8).all()
    assert np.isnan(lower_lip_edge(np.full((64, 64, 3), skin, np.uint8)))


def test_mouth_patch_is_independent_of_the_view() -> None:
    """A textured plane through the mouth gives the same patch from two cameras."""
    shape = np.zeros((68, 3))
    shape[:, 2] = -8.0
    shape[48:, 0] = np.linspace(-2.5, 2.5, 20)
    shape[48:, 1] = 4 + np.sin(np.linspace(0, 6, 20))

    def view(yaw: float) -> np.ndarray:
        c, s = np.cos(yaw), np.sin(yaw)
        head = np.eye(4)
        head[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
        head[:3, 3] = (0, 0, 60)
        return np.linalg.inv(head)

    camera = Camera(500.0, (128, 128), 256, 256)
    rows, columns = np.mgrid[0:256, 0:256] + 0.5

    def image_of_plane(pose: np.ndarray) -> np.ndarray:
        rays = np.stack([(columns - 128) / 500, (rows - 128) / 500, np.ones_like(rows)], -1) @ pose[:3, :3].T
        distance = (-8.0 - pose[2, 3]) / rays[..., 2]
        x, y = (pose[:2, 3] + distance[..., None] * rays[..., :2]).transpose(2, 0, 1)
        return np.stack([127 + 100 * np.sin(x), 127 + 100 * np.sin(1.3 * y), np.full_like(x, 90)], -1).astype(np.uint8)

    front, side = (mouth_patch(image_of_plane(view(a)), camera, view(a), shape) for a in (0.0, 0.35))
    assert np.abs(front.astype(int) - side).mean() < 3
    assert front.std() > 20


@pytest.mark.slow
def test_lower_lip_edge_correlates_with_the_true_mouth_opening(tmp_path: Path) -> None:
    from jean.media import read_frames

    for person in (0, 1):
        video = write_speaker_video(tmp_path / str(person), person, seconds=2.5, size=192, seed=3, matte=False)
        truth = load_truth(video)
        camera = Camera(truth.meta["camera"]["focal_px"], tuple(truth.meta["camera"]["center_px"]), 192, 192)
        arrays = truth.arrays
        edges = [
            lower_lip_edge(mouth_patch(image, camera, arrays["camera_to_world"][t], arrays["shape"]))
            for t, (_, image) in enumerate(read_frames(video))
        ]
        assert correlation(np.array(edges), arrays["mouth_opening"]) > 0.85


def test_a_stage_runs_again_if_an_input_an_earlier_stage_or_its_file_changed(tmp_path: Path) -> None:
    ran = []

    def go(first: int) -> list[str]:
        ran.clear()
        stages = DemoStages(tmp_path, Silent())
        product = tmp_path / "b.txt"
        stages.run("a", "A", {"x": first}, [], lambda: ran.append("a") or {"value": first})
        result = stages.run(
            "b", "B", {}, [product], lambda: (ran.append("b"), product.write_text("b"), {"value": 2 * first})[-1]
        )
        assert result == {"value": 2 * first} and list(stages.seconds) == ["A", "B"]
        return list(ran)

    assert go(1) == ["a", "b"]
    assert go(1) == []
    (tmp_path / "b.txt").unlink()
    assert go(1) == ["b"]
    (tmp_path / "b.txt").write_text("")
    assert go(1) == ["b"], "a truncated file is not finished"
    assert go(2) == ["a", "b"]
    (tmp_path / ".work" / "a" / "step.json").write_text("{broken")
    assert go(2) == ["a"]


def test_a_failed_stage_leaves_no_record(tmp_path: Path) -> None:
    stages = DemoStages(tmp_path, Silent())
    with pytest.raises(ZeroDivisionError):
        stages.run("a", "A", {}, [], lambda: 1 / 0)
    assert not (tmp_path / ".work" / "a").exists()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_demo_runs_without_weights_and_keeps_finished_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JEAN_MODELS", str(tmp_path / "no_models"))
    assert weights.locate("face_landmarker.task") is None
    config = DemoConfig(short=True, size=64, train_steps=150)
    result = run_demo(tmp_path / "demo", config)
    assert Path(result["video"]).is_file() and result["mouth_measured_by"] == "pixels"
    assert result["tracker_check"] is None
    assert result["psnr_face_db"] > 12
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:video/mp4") == 2 and "jean models pull face_landmarker.task" in page
    assert json.loads((tmp_path / "demo" / "demo.json").read_text())["psnr_db"] == result["psnr_db"]
    started = time.monotonic()
    assert run_demo(tmp_path / "demo", config) == result
    assert time.monotonic() - started < 20
