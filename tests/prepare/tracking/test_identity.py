import numpy as np

from jean.prepare.tracking.identity import Identities, looks
from tests.helpers.drawn_face import draw_face, face_at

SIZE = 60


def scene(places):
    """An image with people at x positions {person: left}; drawn in the order given, the last in front."""
    image = np.full((140, 400, 3), 90, np.uint8)
    return image, {person: draw_face(image, left, 40, SIZE, person) for person, left in places.items()}


def test_looks_do_not_depend_on_size_place_or_exposure_but_on_the_person():
    seen = {}
    for person in (0, 1):
        for name, (left, size) in {"small": (20, 50), "large": (90, 180)}.items():
            image = np.full((320, 400, 3), 90, np.uint8)
            points = draw_face(image, left, 60, size, person)
            seen[person, name] = looks(image, points)
    image = (image * 0.6).astype(np.uint8)
    darker = looks(image, points)
    assert seen[0, "small"] @ seen[0, "large"] > 0.9
    assert seen[1, "large"] @ darker > 0.95
    assert seen[0, "large"] @ seen[1, "large"] < seen[0, "small"] @ seen[0, "large"] - 0.1


def cross(shuffle):
    """Two people walk through each other; 1 is hidden behind 0 in the middle. Returns {person: numbers}."""
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


def test_somebody_who_comes_back_elsewhere_is_recognised():
    identities = Identities()
    numbers = []
    for t in [*range(20), *range(60, 80)]:
        image, points = scene({0: 20 if t < 40 else 300})
        numbers += identities.assign(t / 25, image, [face_at(points[0])])
    assert set(numbers) == {0}


def test_another_face_at_another_place_is_another_person():
    identities = Identities()
    image, points = scene({0: 20, 1: 300})
    assert identities.assign(0.0, image, [face_at(points[0])]) == [0]
    assert identities.assign(0.04, image, [face_at(points[1]), face_at(points[0])]) == [1, 0]
    assert identities.assign(0.08, image, []) == []


def test_degenerate_faces_do_not_break_it():
    image = np.zeros((50, 50, 3), np.uint8)
    for points in (np.zeros((68, 2)), np.full((68, 2), 400.0), np.random.default_rng(0).random((68, 2)) * 1e-3):
        assert Identities().assign(0.0, image, [face_at(points)]) == [0]
