import zipfile

import numpy as np
import pytest

from jean import landmarks as ibug
from jean.errors import ArtefactError, SetupError
from jean.features.trackers.mediapipe import (
    BLENDSHAPES,
    INNER,
    STABLE,
    MediaPipeTracker,
    head_pose,
    ibug_weights,
)
from jean.features.trackers.mediapipe_bundle import METADATA, canonical_face


def test_without_weights_the_error_names_the_command():
    with pytest.raises(SetupError, match=r"jean models pull face_landmarker\.task"):
        MediaPipeTracker()


@pytest.mark.parametrize(
    "content", [b"", b"\x0a", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x0a\x02ab", b"\x0f"]
)
def test_a_damaged_bundle_is_reported(tmp_path, content):
    path = tmp_path / "face_landmarker.task"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(METADATA, content)
    with pytest.raises(ArtefactError, match="pull"):
        canonical_face(path)
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match="pull"):
        canonical_face(path)


def test_a_known_pose_is_converted():
    # a head 50 cm in front of the camera, unturned: the camera sits 50 cm before the head
    transform = np.eye(4)
    transform[2, 3] = -50.0
    np.testing.assert_allclose(head_pose(transform)[:3, 3], [0, 0, -50])
    transform[:3, 3] = [3.0, 2.0, -50.0]  # to the right and up: in head space the camera is left and below
    np.testing.assert_allclose(
        head_pose(transform), np.array([[1, 0, 0, -3], [0, 1, 0, 2], [0, 0, 1, -50], [0, 0, 0, 1]])
    )


def test_upper_face_coefficients_exclude_mouth_and_jaw():
    assert len(BLENDSHAPES) == len(set(BLENDSHAPES)) == 52
    assert len(INNER) == 51 and max(STABLE) < 468 and len(set(STABLE)) == len(STABLE)


# index of each iBUG point in a mirrored face
MIRROR = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46),
        *(39, 38, 37, 36, 41, 40),
        *range(54, 47, -1),
        *range(59, 54, -1),
        *range(64, 59, -1),
        *range(67, 64, -1),
    ]
)


@pytest.mark.real
def test_the_canonical_face_lies_in_head_space(shared_models):
    face = canonical_face(shared_models / "face_landmarker.task")
    corners = face[[33, 263]]
    np.testing.assert_allclose(corners.mean(axis=0), [0, -2.66, -3.17], atol=0.01)
    assert np.linalg.norm(corners[1] - corners[0]) == pytest.approx(8.89, abs=0.01)
    assert corners[0, 0] < 0 and face[152, 1] > 5 and face[4, 2] < face[234, 2]  # right eye left, chin low, nose near
    weights = ibug_weights(face)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    points = weights @ face
    mirrored = points[MIRROR] * [-1, 1, 1]
    assert np.abs(points - mirrored).max() < 0.35  # the canonical face is symmetric, the choice of points nearly
    steps = np.linalg.norm(np.diff(points[:17], axis=0), axis=-1)
    assert steps.min() > 0.8 * steps.max()


@pytest.mark.real
@pytest.mark.slow
def test_a_real_clip_is_tracked_in_every_frame(shared_models, shared_data, capfd):
    from jean.geometry import invert_pose
    from jean.media import read_frames

    tracker = MediaPipeTracker()
    frames = list(read_frames(shared_data / "data" / "happy_silent.mp4", 25.0))[:40]
    found = list(tracker.track(frames))
    assert [len(faces) for faces in found] == [1] * 40
    face = found[20][0]
    assert face.landmarks.shape == (68, 2) and face.points.shape == (468, 2) and face.expression.shape == (52,)
    assert np.abs(face.irises - face.landmarks[[36, 39, 42, 45]].reshape(2, 2, 2).mean(axis=1)).max() < 12
    # the tracker's own pose and mean face land on the tracker's own points
    height, width = frames[0][1].shape[:2]
    view = invert_pose(face.camera_to_world)
    seen = tracker.canonical_points[list(STABLE)] @ view[:3, :3].T + view[:3, 3]
    shown = seen[:, :2] / seen[:, 2:] * tracker.assumed_focal_px(width, height) + [width / 2, height / 2]
    assert np.abs(shown - face.points[list(STABLE)]).mean() < 0.05 * ibug.inter_ocular(face.landmarks)
    again = list(tracker.track(frames))
    np.testing.assert_array_equal(again[-1][0].points, found[-1][0].points)
    assert "XNNPACK" not in capfd.readouterr().err


@pytest.mark.real
@pytest.mark.slow
def test_a_small_face_is_tracked_where_the_large_one_is(shared_models, shared_data):
    """The face, scaled to 6 % of the height of an HD frame, has the mesh of the original."""
    import cv2

    from jean.features.trackers import centerface
    from jean.media import read_frames
    from jean.weights import store

    if store.locate(centerface.WEIGHTS) is None:
        pytest.skip("centerface.onnx is not among the weights")
    tracker = MediaPipeTracker()
    frames = [image for _, image in read_frames(shared_data / "data" / "hill.mp4", 25.0, stop_s=0.6)]
    truths = [faces[0].points for faces in tracker.track((n / 25, image) for n, image in enumerate(frames))]
    side = round(0.06 * 1080 / np.median([np.ptp(points[:, 1]) for points in truths]) * frames[0].shape[0])
    corner = np.array([1300, 300])

    def small_frames():
        for n, image in enumerate(frames):
            frame = np.full((1080, 1920, 3), 110, np.uint8)
            small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
            frame[corner[1] + n : corner[1] + n + side, corner[0] + 2 * n : corner[0] + 2 * n + side] = small
            yield n / 25, frame

    for n, (faces, truth) in enumerate(zip(tracker.track(small_frames()), truths, strict=True)):
        (face,) = faces
        expected = truth * side / frames[0].shape[0] + corner + [2 * n, n]
        eyes = np.linalg.norm(expected[33] - expected[263])
        assert np.linalg.norm(face.points - expected, axis=1).mean() < 0.04 * eyes
