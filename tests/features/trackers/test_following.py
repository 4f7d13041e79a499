"""Faces that are small in the frame: found by boxes, followed in windows, with positions and poses of the frame."""

from __future__ import annotations

import numpy as np
import pytest

from jean.errors import ArtefactError
from jean.features.base import Face
from jean.features.trackers.centerface import FaceFinder, decode, overlap
from jean.features.trackers.following import LOST_SEARCH_S, WINDOW_PX, Follower, Window, pose_in_frame
from jean.geometry import Camera, make_pose, project, rotation_matrix
from tests.helpers.drawn_face import SKINS, TEMPLATE, draw_face

SIZE = 40.0


def skin_box(image: np.ndarray, person: int = 0) -> np.ndarray | None:
    rows, columns = np.nonzero(np.abs(image.astype(int) - SKINS[person]).sum(-1) < 60)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float) if len(rows) > 20 else None


class SkinLandmarker:
    """Places the template on the skin that it sees; misses faces below a fifth of the image, as MediaPipe does."""

    opened = closed = 0

    def __init__(self) -> None:
        type(self).opened += 1

    def detect(self, image: np.ndarray, time_s: float) -> list[Face]:
        assert image.shape == (WINDOW_PX, WINDOW_PX, 3)
        found = []
        for person in SKINS:
            box = skin_box(image, person)
            if box is not None and box[3] - box[1] > 0.2 * WINDOW_PX:
                size = (box[2] - box[0]) / 1.0
                points = (TEMPLATE * size + [(box[0] + box[2] - size) / 2, box[1] + 0.2 * size]).astype(np.float32)
                found.append(Face(points, points, points[[36, 45]], np.zeros(1, np.float32), None, 1.0))
        return found

    def close(self) -> None:
        type(self).closed += 1


class Scene:
    """Frames of 800 × 600 with drawn faces, and a finder that counts its searches."""

    def __init__(self) -> None:
        self.searches = 0

    def find(self, image: np.ndarray) -> np.ndarray:
        self.searches += 1
        boxes = [box for box in (skin_box(image, person) for person in SKINS) if box is not None]
        return np.array(boxes).reshape(-1, 4)

    def frame(self, *places: tuple[float, float, int]) -> tuple[np.ndarray, list[np.ndarray]]:
        image = np.full((600, 800, 3), 90, np.uint8)
        return image, [draw_face(image, left, top, SIZE, person) for left, top, person in places]


@pytest.fixture
def scene() -> Scene:
    SkinLandmarker.opened = SkinLandmarker.closed = 0
    return Scene()


def follow(scene: Scene) -> Follower:
    return Follower(scene.find, SkinLandmarker, lambda width, height: float(height), max_faces=4)


def test_a_small_moving_face_is_followed_with_one_search_a_second(scene: Scene) -> None:
    follower = follow(scene)
    for n in range(50):
        image, truths = scene.frame((100 + 9 * n, 200 + 3 * n, 0))
        (face,) = follower.faces(image, n / 25)
        # the drawn ellipse has whole pixels
        np.testing.assert_allclose(face.landmarks.mean(0), truths[0].mean(0), atol=2.5)
    assert scene.searches == 2
    assert SkinLandmarker.opened == 1
    follower.close()
    assert SkinLandmarker.closed == 1


def test_a_new_person_is_found_and_one_who_left_is_dropped(scene: Scene) -> None:
    follower = follow(scene)
    counts = []
    for n in range(100):
        places = [(100.0, 200.0, 0)] * (n < 50) + [(500.0, 300.0, 1)] * (n >= 10)
        image, truths = scene.frame(*places)
        faces = follower.faces(image, n / 25)
        counts.append(len(faces))
        for face in faces:
            assert min(np.linalg.norm(face.landmarks.mean(0) - truth.mean(0)) for truth in truths) < 3
    assert counts[:25] == [1] * 25 and counts[25:50] == [2] * 25, "found at the next search"
    assert counts[50:] == [1] * 50
    assert SkinLandmarker.opened == 2 and SkinLandmarker.closed == 1


def test_a_face_that_jumps_is_found_again_soon(scene: Scene) -> None:
    follower = follow(scene)
    found = []
    for n in range(25):
        image, _ = scene.frame((100.0, 200.0, 0) if n < 5 else (600.0, 400.0, 0))
        found.append(bool(follower.faces(image, n / 25)))
    assert sum(not value for value in found) <= LOST_SEARCH_S * 25 + 1
    assert found[:5] == [True] * 5 and all(found[-15:])


def test_a_window_stays_while_the_face_is_near_its_middle() -> None:
    window = Window.around(np.array([100.0, 100.0, 150.0, 160.0]))
    assert window == Window(65, 70, 120)
    assert window.suits(Window(70, 70, 120)) and window.suits(Window(65, 70, 140))
    assert not window.suits(Window(80, 70, 120)) and not window.suits(Window(65, 70, 155))


def test_the_pose_of_a_window_shows_the_face_where_it_is() -> None:
    """A head seen by the window's camera is seen at the same place, size and turn by the frame's."""
    rng = np.random.default_rng(3)
    head = rng.uniform(-1, 1, (60, 3)) * [7, 10, 4]
    frame = Camera(900.0, (960.0, 540.0), 1920, 1080)
    window = Window(1500, 150, 120)
    near = Camera(120 * 0.8, (window.centre[0], window.centre[1]), 1920, 1080)
    turn = rotation_matrix(np.array([0.1, 0.4, -0.05]))
    pose = make_pose(turn, turn @ [1.0, -1.0, -40.0])
    offset = (window.centre - [960, 540]) / frame.focal_px
    moved = pose_in_frame(pose, near.focal_px, frame.focal_px, offset)
    before, after = (project(head, *pair)[..., :2] for pair in ((near, pose), (frame, moved)))
    size = np.ptp(before, axis=0).max()
    assert np.linalg.norm(after.mean(0) - before.mean(0)) < 0.02 * size
    # the nearer camera has a stronger perspective, so the shapes differ a little
    assert np.abs((after - after.mean(0)) - (before - before.mean(0))).mean() < 0.06 * size


def test_boxes_are_decoded_and_duplicates_dropped() -> None:
    probability = np.zeros((20, 30))
    sizes, offsets = np.zeros((2, 20, 30)), np.zeros((2, 20, 30))
    for (row, column), value in {(10, 5): 0.6, (10, 6): 0.9, (3, 20): 0.5, (15, 25): 0.2}.items():
        probability[row, column] = value
        sizes[:, row, column] = np.log([6.0, 4.0])  # height and width in cells
    offsets[:, 10, 6] = [0.25, -0.5]
    boxes = decode(probability, sizes, offsets)
    np.testing.assert_allclose(boxes, [[16, 31, 32, 55], [74, 2, 90, 26]])
    assert decode(np.zeros((2, 2)), sizes, offsets).shape == (0, 4)
    assert overlap(boxes[0], boxes[1]) == 0


def test_a_damaged_network_is_reported(tmp_path) -> None:
    path = tmp_path / "centerface.onnx"
    for content in (b"no network", b""):
        path.write_bytes(content)
        with pytest.raises(ArtefactError, match=r"jean models pull centerface\.onnx"):
            FaceFinder(path)
