import numpy as np
import pytest

from jean.errors import InputError, UsageError
from jean.prepare.tracking.choose_face import choose

T, FPS = 100, 25.0


def faces(*people):
    """(frame, person, boxes) of people given as (frames, left, size)."""
    rows = sorted((t, n, left, size) for n, (frames, left, size) in enumerate(people) for t in frames)
    frame, person, left, size = np.array(rows).T
    boxes = np.stack([left, np.full(len(left), 50.0), left + size, 50.0 + size], axis=-1)
    return frame.astype(int), person.astype(int), boxes


def who(choice, person):
    return [int(person[face]) if face >= 0 else -1 for face in choice.face]


def test_one_person_who_leaves_for_a_while():
    frame, person, boxes = faces(([*range(40), *range(60, T)], 10, 80))
    choice = choose(frame, person, boxes, T, FPS)
    assert choice.no_face == [[40, 60]] and choice.several == [] and choice.people == 1
    assert (choice.face[40:60] == -1).all() and (frame[choice.face[60:]] == np.arange(60, T)).all()


def test_nobody():
    with pytest.raises(InputError, match="no face"):
        choose(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4)), T, FPS)


def test_two_people_must_be_chosen_from():
    frame, person, boxes = faces((range(T), 300, 80), (range(30, T), 10, 100))
    with pytest.raises(InputError, match=r"2 people, together in frames 30-99.*--face"):
        choose(frame, person, boxes, T, FPS)
    for face, number in (("left", 1), ("right", 0), ("largest", 0), ("0", 1), ("1", 0)):
        choice = choose(frame, person, boxes, T, FPS, face)
        assert set(who(choice, person)) - {-1} == {number}
        assert choice.several == [[30, T]] and choice.people == 2
    assert choose(frame, person, boxes, T, FPS, "left").no_face == [[0, 30]]


def test_a_number_that_nobody_has_and_an_unknown_word():
    frame, person, boxes = faces((range(T), 300, 80))
    with pytest.raises(InputError, match="no face 1"):
        choose(frame, person, boxes, T, FPS, "1")
    for word in ("middle", "-1", "1.5", ""):
        with pytest.raises(UsageError, match="largest"):
            choose(frame, person, boxes, T, FPS, word)


def test_posters_and_slips_do_not_count():
    frame, person, boxes = faces((range(T), 300, 100), (range(T), 10, 30), (range(50, 55), 100, 90))
    choice = choose(frame, person, boxes, T, FPS)
    assert set(who(choice, person)) == {0} and choice.people == 1
    assert choice.several == [[50, 55]]  # told, but the one who is there for long is kept


def test_people_one_after_another_are_taken_for_one_and_told():
    frame, person, boxes = faces((range(50), 300, 80), (range(50, T), 10, 80))
    choice = choose(frame, person, boxes, T, FPS)
    assert choice.successive and choice.no_face == []
    assert not choose(frame, person, boxes, T, FPS, "left").successive


def test_one_frame():
    frame, person, boxes = faces(([0], 300, 80))
    assert choose(frame, person, boxes, 1, FPS).face.tolist() == [0]
    frame, person, boxes = faces(([0], 300, 80), ([0], 10, 80))
    with pytest.raises(InputError, match="2 people"):
        choose(frame, person, boxes, 1, FPS)
