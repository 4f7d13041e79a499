"""Open necks and painted backgrounds are found in the renderer's layers."""

from __future__ import annotations

import numpy as np
import pytest

from jean.evaluation.config import EvaluateConfig
from jean.evaluation.evaluate import evaluate
from jean.features import registry as adapters
from jean.media import open_writer, write_opacity
from jean.metrics.picture_integrity import neck_opacity, painted_outside, torso_region
from tests.helpers.tiny_clip import write_clip
from tests.metrics.test_face_integrity import NoseTracker, draw, face_points

SIZE = 128


@pytest.fixture(autouse=True)
def nose_tracker(monkeypatch):
    monkeypatch.setitem(adapters.ADAPTERS["tracker"], "chin", f"{__name__}:ChinTracker")


class ChinTracker(NoseTracker):
    """``NoseTracker`` with a chin 56 px below the eyes, and corners of the jaw beside it."""

    def track(self, frames):
        for faces in super().track(frames):
            for face in faces:
                middle = face.landmarks[36:48].mean(0)
                face.landmarks[[3, 8, 13]] = middle + np.array([[-25, 40], [0, 56], [25, 40]])
            yield faces


def layers(gap=0, patch=0):
    """Opacity of a head above a torso, uint8 [SIZE, SIZE, 2].

    Args:
        gap: rows between chin and torso that nothing covers.
        patch: side of a painted square in the upper left corner, px.
    """
    opacity = np.zeros((SIZE, SIZE, 2), np.uint8)
    opacity[10:112, 34:94, 0] = 255
    opacity[112 + gap :, 20:108, 1] = 255
    opacity[:patch, :patch, 1] = 255
    return opacity


def neck_points():
    points = face_points()
    points[[3, 8, 13]] = (40, 96), (64, 112), (88, 96)
    return points


@pytest.mark.parametrize(("gap", "expected"), [(0, 1.0), (1, 2 / 3), (3, 0.0)])
def test_a_gap_under_the_chin_lowers_the_opacity_of_the_neck(gap, expected):
    opacity = layers(gap).sum(-1) / 255
    assert neck_opacity(opacity, neck_points()) == pytest.approx(expected, abs=1e-5)


def test_the_chin_of_a_turned_head_may_stand_beside_the_neck():
    opacity = layers().sum(-1) / 255
    opacity[100:, 88:] = 0  # nothing to the right of the neck
    points = neck_points()
    points[8, 0] = 92
    assert neck_opacity(opacity, points) == pytest.approx(1.0)


def test_a_chin_below_the_frame_has_no_neck():
    points = neck_points()
    points[8, 1] = SIZE + 60
    assert np.isnan(neck_opacity(np.ones((SIZE, SIZE)), points))


def test_only_paint_outside_head_and_torso_counts():
    region = torso_region(layers()[None], (SIZE, SIZE))
    head, torso = np.moveaxis(layers().astype(float) / 255, -1, 0)
    assert painted_outside(head, torso, region) == 0
    head, torso = np.moveaxis(layers(patch=16).astype(float) / 255, -1, 0)
    assert painted_outside(head, torso, region) == pytest.approx(16**2 / SIZE**2)
    # a second piece of the head's layer is no head
    head[:8, -8:] = 0.9
    assert painted_outside(head, torso, region) == pytest.approx((16**2 + 8**2) / SIZE**2)
    # opacity that no eye sees
    assert painted_outside(head, torso * 0.04, region) == pytest.approx(8**2 / SIZE**2)


def clip(folder, mattes):
    landmarks = np.zeros((len(mattes), 68, 2), np.float32)
    return write_clip(folder, np.stack([draw() for _ in mattes]), np.stack(mattes), {"landmarks": landmarks})


def scores(result, real):
    options = {"picture_integrity": {"real": real}}
    config = EvaluateConfig(tracker="chin", ground_truth=False, metrics=("picture_integrity",), metric_options=options)
    return evaluate([result], config)["rows"][0]


def test_the_mattes_of_a_clip_serve_as_layers(tmp_path):
    real = clip(tmp_path / "real", [layers()] * 3)
    values = scores(real, real)["values"]
    assert values["neck_opacity"] == 1 and values["neck_open"] == 0 and values["picture_changed"] == 0
    result = clip(tmp_path / "result", [layers(), layers(gap=6), layers(patch=16), layers(gap=6)])
    values = scores(result, real)["values"]
    assert values["neck_open"] == pytest.approx(0.5) and values["picture_changed"] == pytest.approx(0.25)
    assert values["painted_outside"] == pytest.approx(16**2 / SIZE**2 / 4)


def test_layers_beside_a_video_are_read_and_missing_ones_are_named(tmp_path):
    real, video = clip(tmp_path / "real", [layers()] * 3), tmp_path / "result.mp4"
    with open_writer(video, (SIZE, SIZE), 25.0) as writer:
        for _ in range(4):
            writer.write(draw())
    row = scores(video, real)
    assert row["values"]["painted_outside"] is None and any("--layers" in note for note in row["notes"])
    (tmp_path / "result_layers").mkdir()
    for index, patch in enumerate((0, 16, 0, 0)):
        write_opacity(tmp_path / "result_layers" / f"{index:06d}.png", layers(patch=patch))
    values = scores(video, real)["values"]
    assert values["picture_changed"] == pytest.approx(0.25)
