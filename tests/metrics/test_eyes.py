"""Blinks and gaze of hand-made eyes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jean.features.base import Face
from jean.metrics.base import FramePair, MetricContext, TrackedFrame
from jean.metrics.eyes import Blinks, Gaze, blinks, eye_openness, gaze_direction

CONTEXT = MetricContext(25.0, Path("a.mp4"), Path("b.mp4"), False, "mediapipe")


def eyes(opening=0.3, turn=0.0):
    """68 points with two eyes 40 px wide; ``turn`` rotates the head in the image plane, in degrees."""
    points = np.zeros((68, 2))
    for start, x in ((36, 0.0), (42, 80.0)):
        h = 20 * opening
        points[start : start + 6] = [(x, 0), (x + 13, -h), (x + 27, -h), (x + 40, 0), (x + 27, h), (x + 13, h)]
    angle = np.radians(turn)
    return points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def irises(points, right=0.0, down=0.0):
    middles = np.stack([(points[a] + points[b]) / 2 for a, b in ((36, 39), (42, 45))])
    across = (points[39] - points[36]) / np.linalg.norm(points[39] - points[36])
    return middles + right * across + down * np.array([-across[1], across[0]])


def side(points, iris=None):
    iris = np.full((2, 2), np.nan) if iris is None else iris
    return TrackedFrame(np.zeros((4, 4, 3), np.uint8), Face(points, points, iris, np.zeros(0), None, 1.0))


@pytest.mark.parametrize("turn", [0.0, 30.0])
def test_openness_is_height_over_width(turn):
    assert eye_openness(eyes(0.3, turn)) == pytest.approx(0.3)
    assert eye_openness(np.stack([eyes(0.1), eyes(0.4)])) == pytest.approx([0.1, 0.4])


def track(*closed, count=100):
    openness = np.full(count, 0.3)
    for start, length in closed:
        openness[start : start + length] = 0.05
    return openness


@pytest.mark.parametrize(
    ("openness", "count"),
    [
        (track(), 0),
        (track((10, 3), (40, 5)), 2),
        (track((10, 15)), 1),
        (track((10, 16)), 0),  # longer than 0.6 s: eyes closed
        (track((0, 3)), 0),  # begins before the video
        (track((97, 3)), 0),
        (np.full(10, np.nan), 0),
        (np.zeros(0), 0),
    ],
)
def test_blink_count_of_hand_made_tracks(openness, count):
    assert blinks(openness, 25.0) == count


def test_a_stretch_next_to_a_lost_face_is_no_blink():
    openness = track((10, 3))
    openness[13] = np.nan
    assert blinks(openness, 25.0) == 0


def test_the_blink_rate_counts_only_frames_with_a_face():
    metric = Blinks(CONTEXT)
    for t in range(100):
        metric.update(FramePair(t / 25, side(eyes(0.05 if t in (20, 21, 60, 61) else 0.3)), side(eyes())))
    values = metric.result().values
    assert values["blinks_per_min"] == pytest.approx(2 * 60 / 4)
    assert values["blinks_per_min_reference"] == 0


def test_blinks_of_the_result_need_no_reference():
    metric = Blinks(CONTEXT)
    metric.update(FramePair(0, side(eyes()), None))
    values = metric.result().values
    assert values["blinks_per_min"] == 0 and np.isnan(values["blinks_per_min_reference"])


@pytest.mark.parametrize("turn", [0.0, 40.0])
def test_gaze_is_the_rotation_of_the_eyeball(turn):
    """The radius of 0.4 eye widths is 16 px, so an offset of 8 px is 30 degrees."""
    points = eyes(turn=turn)
    np.testing.assert_allclose(gaze_direction(points, irises(points)), [0, 0], atol=1e-9)
    np.testing.assert_allclose(gaze_direction(points, irises(points, 8.0)), [30, 0], atol=1e-9)
    np.testing.assert_allclose(gaze_direction(points, irises(points, 0.0, -8.0)), [0, -30], atol=1e-9)


def test_gaze_error_is_an_angle_and_nan_without_irises():
    points = eyes()
    metric = Gaze(CONTEXT)
    metric.update(FramePair(0, side(points, irises(points, 8.0)), side(points, irises(points))))
    metric.update(FramePair(0, side(points, irises(points)), side(points)))
    assert metric.result().values["gaze_error_deg"] == pytest.approx(30)
    blind = Gaze(CONTEXT)
    blind.update(FramePair(0, side(points), side(points)))
    scores = blind.result()
    assert np.isnan(scores.values["gaze_error_deg"]) and "no irises" in scores.notes[0]
