"""Torn faces are found by comparison with real frames and a control."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from jean.evaluation.config import EvaluateConfig
from jean.evaluation.evaluate import evaluate
from jean.features import registry as adapters
from jean.features.base import Face
from jean.metrics.face_integrity import CROPS, RealFaces, part_crop
from tests.helpers.tiny_clip import write_clip

SIZE = 128


def face_points(x=64.0, y=56.0):
    """68 points with eyes 40 px apart and a mouth 40 px below them."""
    points = np.zeros((68, 2))
    ring = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    for start, side in ((36, -20.0), (42, 20.0)):
        points[start : start + 6] = np.stack([side + 7 * np.cos(ring), 3 * np.sin(ring)], -1)
    ring = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    points[48:] = np.stack([12 * np.cos(ring), 40 + 5 * np.sin(ring)], -1)
    return points + np.array([x, y])


def draw(x=64.0, opening=2, torn="", seed=0):
    """A face whose nose is one pure red pixel, by which ``NoseTracker`` finds it."""
    image = np.full((SIZE, SIZE, 3), 180, np.uint8)
    points = face_points(x)
    for eye in (points[36:42], points[42:48]):
        centre = tuple(int(value) for value in eye.mean(0))
        cv2.ellipse(image, centre, (9, 4), 0, 0, 360, (240, 240, 240), -1)
        cv2.circle(image, centre, 3, (30, 30, 30), -1)
    centre = tuple(int(value) for value in points[48:].mean(0))
    cv2.ellipse(image, centre, (13, 3 + opening), 0, 0, 360, (120, 40, 40), -1)
    noise = np.random.default_rng(seed).normal(0, 3, image.shape)
    rows = {"eyes": slice(44, 68), "mouth": slice(84, 110)}.get(torn, slice(0, 0))
    noise[rows] += cv2.blur(np.random.default_rng(seed).normal(0, 400, image.shape), (5, 5))[rows]
    image = np.clip(image + noise, 0, 250).astype(np.uint8)
    image[76, int(x)] = (255, 0, 0)
    return image


class NoseTracker:
    name, version = "nose", "1"

    def __init__(self, video=None, device="cpu"):
        pass

    def track(self, frames):
        for _, image in frames:
            rows, columns = np.nonzero((image[..., 0] == 255) & (image[..., 1] == 0))
            points = face_points(float(columns[0])).astype(np.float32) if len(rows) else None
            iris = np.zeros((2, 2))
            yield [] if points is None else [Face(points, points, iris, np.zeros(1), np.eye(4), 1.0)]


@pytest.fixture(autouse=True)
def nose_tracker(monkeypatch):
    monkeypatch.setitem(adapters.ADAPTERS["tracker"], "nose", f"{__name__}:NoseTracker")


def make_clip(folder, images):
    points = np.zeros((len(images), 68, 2), np.float32)
    return write_clip(folder, np.stack(images), np.zeros((len(images), SIZE, SIZE, 2), np.uint8), {"landmarks": points})


def scores(result, real, control):
    options = {"face_integrity": {"real": real, "control": control}}
    config = EvaluateConfig(tracker="nose", ground_truth=False, metrics=("face_integrity",), metric_options=options)
    return evaluate([result], config)["rows"][0]


@pytest.fixture
def real(tmp_path):
    """30 real frames in which the mouth opens and closes and the head moves."""
    images = [draw(60 + t % 8, opening=t % 5, seed=t) for t in range(30)]
    return make_clip(tmp_path / "real", images)


@pytest.fixture
def control(tmp_path):
    return make_clip(tmp_path / "control", [draw(62, 2, seed=100 + t) for t in range(10)])


def test_only_the_torn_part_of_torn_frames_counts(tmp_path, real, control):
    torn = {2: "eyes", 3: "eyes", 7: "mouth"}
    images = [draw(62, 3, torn.get(t, ""), seed=200 + t) for t in range(10)]
    values = scores(make_clip(tmp_path / "result", images), real, control)["values"]
    assert values["eyes_torn"] == pytest.approx(0.2) and values["mouth_torn"] == pytest.approx(0.1)
    assert values["eyes_ratio"] < 1.5 and values["mouth_ratio"] < 2.0


def test_a_lost_face_counts_as_torn_where_the_control_has_one(tmp_path, real, control):
    images = [draw(62, 2, seed=t) if t else np.full((SIZE, SIZE, 3), 90, np.uint8) for t in range(10)]
    values = scores(make_clip(tmp_path / "result", images), real, control)["values"]
    assert values["eyes_torn"] == values["mouth_torn"] == pytest.approx(0.1)


def test_the_real_video_itself_is_whole_even_against_a_control_that_repeats_it(tmp_path, real):
    values = scores(real, real, real)["values"]
    assert values["eyes_torn"] == values["mouth_torn"] == 0
    copy = make_clip(tmp_path / "near", [draw(60 + t % 8, opening=t % 5, seed=1000 + t) for t in range(30)])
    assert scores(copy, real, real)["values"]["eyes_torn"] == 0


def test_controls_of_a_folder_are_paired_by_name(tmp_path, real):
    images = [draw(62, 2, seed=t) for t in range(4)]
    result, other = make_clip(tmp_path / "one", images), make_clip(tmp_path / "two", images)
    make_clip(tmp_path / "controls" / "one", images)
    row = scores(result, real, tmp_path / "controls")
    assert row["values"]["eyes_torn"] == 0
    row = scores(other, real, tmp_path / "controls")
    assert row["values"]["eyes_torn"] is None and any("no control" in note for note in row["notes"])


def test_crops_do_not_depend_on_place_size_and_roll():
    image, points = draw(seed=5), face_points()
    turn = cv2.getRotationMatrix2D((60, 60), 20, 1.0)
    turned = cv2.warpAffine(image, turn, (SIZE, SIZE), borderValue=(180, 180, 180))
    turned_points = (points - 0.5) @ turn[:, :2].T + turn[:, 2] + 0.5
    for part in CROPS:
        straight, rolled = part_crop(image, points, part), part_crop(turned, turned_points, part)
        assert np.square(straight - rolled).mean() < 0.05 * np.square(straight).mean()


def test_the_floor_is_the_distance_to_other_moments():
    rows = np.array([[0.0, 0.0], [0.1, 0.1], [1.0, 1.0], [1.0, 3.0]], np.float32)
    real = RealFaces.of({"eyes": rows}, np.array([0.0, 0.1, 5.0, 9.0]))
    # rows 0 and 1 show one moment: nearest others are row 2 for both, row 1 for row 2, row 2 for row 3
    assert real.floor["eyes"] == pytest.approx(np.median([1.0, 0.81, 0.81, 2.0]))
    assert RealFaces.of({"eyes": rows[:2]}, np.array([0.0, 0.1])).floor["eyes"] == 0.0
