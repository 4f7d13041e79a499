from pathlib import Path

import numpy as np
import pytest

from jean.features.base import Face
from jean.metrics.base import FramePair, MetricContext, TrackedFrame
from jean.metrics.jitter import Jitter, jitter
from jean.metrics.landmarks import LandmarkDistance, align, landmark_distance
from jean.metrics.mouth import MouthAgreement, OtherMouth, best_lag, correlation
from jean.metrics.pose import PoseError, head_in_camera, motion_error_cm, rotation_error_deg, translation_error_cm

CONTEXT = MetricContext(25.0, Path("a.mp4"), Path("b.mp4"), False, "mediapipe")
UNTRACKED = MetricContext(25.0, Path("a.mp4"), Path("b.mp4"), False, "reference")


def points(seed=0, inter_ocular=100.0):
    base = np.random.default_rng(seed).uniform(50, 200, (68, 2))
    base[36], base[45] = (70, 100), (70 + inter_ocular, 100)
    return base


def side(landmarks, pose=None, size=(256, 256)):
    image = np.zeros((*size, 3), np.uint8)
    if landmarks is None:
        return TrackedFrame(image, None)
    return TrackedFrame(image, Face(landmarks, landmarks, np.full((2, 2), np.nan), np.zeros(0), pose, 1.0))


def rotation(axis, degrees):
    axis = np.asarray(axis, float) / np.linalg.norm(axis)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def pose(axis=(0, 1, 0), degrees=0.0, origin=(0, 0, -60)):
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(axis, degrees)
    matrix[:3, 3] = origin
    return matrix


def test_landmark_distance_is_in_inter_ocular_distances():
    reference = points()
    moved = reference + np.array([3, 4])
    assert landmark_distance(moved, reference) == pytest.approx(0.05)
    moved = reference.copy()
    moved[48:] += [0, 10]
    assert landmark_distance(moved, reference, slice(48, 68)) == pytest.approx(0.10)
    assert landmark_distance(moved, reference) == pytest.approx(0.10 * 20 / 68)


def test_alignment_undoes_rotation_scale_and_shift_but_keeps_the_mouth():
    reference = points()
    turned = 1.7 * (reference - 90) @ rotation((0, 0, 1), 25)[:2, :2].T + [12, -30]
    np.testing.assert_allclose(align(turned, reference), reference, atol=1e-9)
    opened = reference.copy()
    opened[48:] += [0, 8]
    aligned = align(opened, reference)
    np.testing.assert_allclose(aligned[17:48], reference[17:48], atol=1e-9)
    assert landmark_distance(aligned, reference, slice(48, 68)) == pytest.approx(0.08)


def test_the_landmark_metric_scales_the_result_and_skips_lost_faces():
    reference = points()
    metric = LandmarkDistance(CONTEXT)
    metric.update(FramePair(0, side((reference + np.array([3, 4])) * 2, size=(512, 512)), side(reference)))
    metric.update(FramePair(0.04, side(None), side(reference)))
    scores = metric.result()
    assert scores.values["lmd_all"] == pytest.approx(0.05)
    assert scores.values["lmd_mouth_aligned"] == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(scores.series["lmd_mouth_aligned"]).tolist() == [False, True]


def test_an_untracked_result_has_no_score():
    reference = points()
    for metric in (LandmarkDistance(UNTRACKED), MouthAgreement(UNTRACKED), PoseError(UNTRACKED), Jitter(UNTRACKED)):
        for _ in range(6):
            metric.update(FramePair(0, side(reference, pose()), side(reference, pose())))
        scores = metric.result()
        judged = [scores.values[c.name] for c in metric.columns if c.better]
        assert judged and all(np.isnan(judged))
        assert scores.notes


@pytest.mark.parametrize("degrees", [0.0, 1e-5, 3.0, 90.0, 179.9])
def test_rotation_error_is_the_angle(degrees):
    reference = pose((1, 2, 3), 40)
    turned = reference.copy()
    turned[:3, :3] = reference[:3, :3] @ rotation((2, -1, 0.5), degrees)
    assert rotation_error_deg(turned, reference) == pytest.approx(degrees, abs=1e-7)


def test_translation_error_is_measured_in_camera_coordinates():
    """A head that rotates in place keeps its position, although the camera moves far in head space."""
    still, turned = pose(), np.linalg.inv(np.linalg.inv(pose()) @ pose(degrees=30, origin=(0, 0, 0)))
    assert np.linalg.norm(still[:3, 3] - turned[:3, 3]) > 10
    assert translation_error_cm(turned, still) == pytest.approx(0.0, abs=1e-9)
    assert translation_error_cm(pose(origin=(3, 4, -60)), still) == pytest.approx(5.0)
    np.testing.assert_allclose(head_in_camera(turned) @ turned, np.eye(4), atol=1e-12)


def test_the_pose_metric_averages_frames_with_both_poses():
    metric = PoseError(CONTEXT)
    metric.update(FramePair(0, side(points(), pose(degrees=2)), side(points(), pose())))
    metric.update(FramePair(0, side(points(), pose(degrees=4)), side(points(), pose())))
    metric.update(FramePair(0, side(points(), None), side(points(), pose())))
    scores = metric.result()
    assert scores.values["pose_error_deg"] == pytest.approx(3.0)
    assert np.isnan(scores.series["pose_error_deg"]).tolist() == [False, False, True]


def test_motion_error_is_the_distance_of_motions_about_the_means():
    reference = np.array([[0.0, 0, 50], [2, 0, 50], [4, 0, 50]])
    still = np.tile([7.0, -3, 50], (3, 1))
    np.testing.assert_allclose(motion_error_cm(still, reference), [2, 0, 2], atol=1e-12)
    np.testing.assert_allclose(motion_error_cm(reference + np.array([9, 9, 0]), reference), 0, atol=1e-12)
    nodding = reference + np.array([[0, 0, -1], [0, 0, 0], [0, 0, 1]])
    # at twice the assumed focal length, the same motion in depth is twice as long
    np.testing.assert_allclose(motion_error_cm(nodding * [1, 1, 2], nodding), 0, atol=1e-12)


def test_positions_in_another_crop_are_not_compared_but_motion_is():
    """The reference shows the face at a quarter of the size, as a source video does before it is cropped."""
    moves = [(0.0, 0.0, 0.0), (1.0, 2.0, 0.0), (-1.0, 0.5, 3.0), (0.0, -2.5, -3.0)]
    alike, apart = PoseError(CONTEXT), PoseError(CONTEXT)
    landmarks_alike, landmarks_apart = LandmarkDistance(CONTEXT), LandmarkDistance(CONTEXT)
    for x, y, z in moves:
        result = side(points(), pose(origin=(-x, -y, -60 - z)))
        shifted = side(points(), pose(origin=(-x + 3, -y, -60 - z)))
        # a frame four times as large: the tracker assumes four times the distance, and so does its motion in depth
        far = side(points(inter_ocular=100) + 300, pose(origin=(-x + 80, -y, -240 - 4 * z)), size=(1024, 1024))
        for metric, reference in ((alike, shifted), (apart, far)):
            metric.update(FramePair(0, result, reference))
        landmarks_alike.update(FramePair(0, result, shifted))
        landmarks_apart.update(FramePair(0, result, far))
    assert alike.result().values["pose_error_cm"] == pytest.approx(3) and not alike.result().notes
    assert alike.result().values["pose_motion_cm"] == pytest.approx(0, abs=1e-9)
    scores = apart.result()
    assert np.isnan(scores.values["pose_error_cm"]) and "not compared" in scores.notes[0]
    assert scores.values["pose_motion_cm"] == pytest.approx(0, abs=1e-9)
    assert scores.values["pose_error_deg"] == 0
    assert landmarks_alike.result().values["lmd_all"] == 0
    scores = landmarks_apart.result()
    assert np.isnan(scores.values["lmd_all"]) and scores.values["lmd_mouth_aligned"] == pytest.approx(0, abs=1e-9)


def test_jitter_is_zero_for_uniform_motion_and_measures_shaking():
    base = points()
    steady = np.stack([base + np.array([2.0 * t, -t]) for t in range(10)])
    assert jitter(steady, 25) == pytest.approx(np.zeros(8), abs=1e-9)
    shaking = np.stack([base + np.array([0.5 * (-1) ** t, 0]) for t in range(10)])
    # x swings by 1 px a frame: second difference 2 px of 100 px, times 25²
    assert jitter(shaking, 25) == pytest.approx(np.full(8, 0.02 * 625))


def test_the_jitter_metric_equals_the_function_and_skips_gaps():
    rng = np.random.default_rng(7)
    track = points() + rng.normal(0, 1, (12, 68, 2))
    metric = Jitter(CONTEXT)
    for frame in track:
        metric.update(FramePair(0, side(frame), side(track[0])))
    assert metric.result().values["jitter"] == pytest.approx(jitter(track, 25).mean())
    assert metric.result().values["jitter_reference"] == 0
    gap = Jitter(CONTEXT)
    for index, frame in enumerate(track):
        gap.update(FramePair(0, side(None if index % 3 == 2 else frame), side(frame)))
    assert np.isnan(gap.result().values["jitter"])


def test_correlation_equals_numpy_and_is_nan_for_constant_or_short_tracks():
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=50), rng.normal(size=50)
    assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    a[3], b[7] = np.nan, np.nan
    known = np.isfinite(a) & np.isfinite(b)
    assert correlation(a, b) == pytest.approx(np.corrcoef(a[known], b[known])[0, 1])
    assert np.isnan(correlation(np.full(50, 0.3), b))
    assert np.isnan(correlation(a[:4], b[:4]))


@pytest.mark.parametrize("lag", [-6, -1, 0, 3, 10])
def test_best_lag_finds_a_known_delay(lag):
    track = np.cumsum(np.random.default_rng(9).normal(size=130))
    reference = track[20:110]
    found, value = best_lag(track[20 - lag : 110 - lag], reference, 10)
    assert found == lag
    assert value == pytest.approx(1.0)


def test_the_mouth_metric_reports_the_delay_in_seconds():
    opening = np.abs(np.sin(np.arange(80) * 0.37)) + 0.2 * np.sin(np.arange(80) * 1.3) ** 2
    metric = MouthAgreement(CONTEXT)

    def mouth(value):
        face = points()
        face[62], face[66] = (120, 150), (120, 150 + 100 * value)
        return face

    for t in range(10, 80):
        metric.update(FramePair(t / 25, side(mouth(opening[t - 2])), side(mouth(opening[t]))))
    scores = metric.result()
    assert scores.values["mouth_lag_s"] == pytest.approx(0.08)
    assert scores.values["mouth_correlation"] < 0.99
    np.testing.assert_allclose(scores.series["mouth_opening_reference"], opening[10:], atol=1e-9)


def test_the_other_mouth_shows_by_its_quick_part_alone():
    random = np.random.default_rng(0)
    speech, other = (np.abs(np.sin(np.cumsum(random.uniform(0.3, 1.2, 150)))) for _ in range(2))
    smile = np.repeat([0.0, 1.0], 75)  # both smile from the middle on

    def face(opening):
        marks = points()
        marks[62], marks[66] = (120, 100), (120, 100 + 100 * opening)
        return side(marks)

    def score(shown):
        metric = OtherMouth(CONTEXT)
        for t in range(150):
            metric.update(
                FramePair(t / 25, face(shown[t] + smile[t]), side(None) if t == 3 else face(other[t] + smile[t]))
            )
        return metric.result().values["other_mouth_correlation"]

    assert score(other) > 0.99 and abs(score(speech)) < 0.2
    assert 0.4 < score(speech + other) < 0.9
    assert np.isnan(OtherMouth(UNTRACKED).result().values["other_mouth_correlation"])
