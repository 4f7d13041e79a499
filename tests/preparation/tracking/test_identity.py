"""Assignment of faces to people over time."""

import numpy as np

from jean.preparation.tracking.identity import Identities, appearance
from tests.helpers.drawn_face import draw_face, face_at

SIZE = 60


def scene(places):
    """An image with people at x positions {person: left}, drawn in the given order, the last in front."""
    image = np.full((140, 400, 3), 90, np.uint8)
    return image, {person: draw_face(image, left, 40, SIZE, person) for person, left in places.items()}


def test_the_appearance_depends_on_the_person_but_not_on_size_position_or_exposure():
    descriptors = {}
    for person in (0, 1):
        for name, (left, size) in {"small": (20, 50), "large": (90, 180)}.items():
            image = np.full((320, 400, 3), 90, np.uint8)
            points = draw_face(image, left, 60, size, person)
            descriptors[person, name] = appearance(image, points)
    image = (image * 0.6).astype(np.uint8)
    darker = appearance(image, points)
    assert descriptors[0, "small"] @ descriptors[0, "large"] > 0.9
    assert descriptors[1, "large"] @ darker > 0.95
    same, different = (descriptors[0, "large"] @ descriptors[key] for key in ((0, "small"), (1, "large")))
    assert different < same - 0.1


def cross(shuffle):
    """Assigned numbers per person when two people cross and person 1 is hidden behind person 0 in the middle."""
    identities = Identities()
    rng = np.random.default_rng(0)
    given = {0: set(), 1: set()}
    for t in range(100):
        image, points = scene({1: 300 - 2.6 * t, 0: 20 + 2.6 * t})
        people = [0, 1] if abs(280 - 5.2 * t) > 0.5 * SIZE else [0]
        if shuffle:
            rng.shuffle(people)
        faces = [face_at(points[person] + rng.standard_normal((68, 2)) * 0.5) for person in people]
        for person, number in zip(people, identities.assign(t / 25, image, faces), strict=True):
            given[person].add(number)
    return given


def test_people_who_cross_are_not_swapped():
    for shuffle in (False, True):
        given = cross(shuffle)
        assert len(given[0]) == len(given[1]) == 1 and given[0] != given[1]


def test_a_person_who_comes_back_at_another_position_is_recognised():
    identities = Identities()
    numbers = []
    for t in [*range(20), *range(60, 80)]:
        image, points = scene({0: 20 if t < 40 else 300})
        numbers += identities.assign(t / 25, image, [face_at(points[0])])
    assert set(numbers) == {0}


def test_another_face_at_another_position_is_another_person():
    identities = Identities()
    image, points = scene({0: 20, 1: 300})
    assert identities.assign(0.0, image, [face_at(points[0])]) == [0]
    assert identities.assign(0.04, image, [face_at(points[1]), face_at(points[0])]) == [1, 0]
    assert identities.assign(0.08, image, []) == []


def test_a_face_of_one_colour_is_followed_by_its_position():
    identities = Identities()
    noise = np.random.default_rng(0)
    numbers = []
    for t in range(50):
        image = (128 + noise.integers(0, 2, (140, 400, 3))).astype(np.uint8)
        points = scene({0: 20 + t})[1][0]
        numbers += identities.assign(t / 25, image, [face_at(points)])
    assert set(numbers) == {0}
    # after a long gap nothing tells that it is the same person
    assert identities.assign(60.0, image, [face_at(points)]) == [1]


def test_degenerate_landmarks_are_accepted():
    image = np.zeros((50, 50, 3), np.uint8)
    for points in (np.zeros((68, 2)), np.full((68, 2), 400.0), np.random.default_rng(0).random((68, 2)) * 1e-3):
        assert Identities().assign(0.0, image, [face_at(points)]) == [0]
