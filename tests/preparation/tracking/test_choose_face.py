"""Choice of the clip's person among tracked faces."""

import numpy as np
import pytest

from jean.errors import InputError, UsageError
from jean.preparation.tracking.choose_face import choose

T, FPS = 100, 25.0


def faces(*people):
    """Frame, person and box of each face, for people given as (frames, left, size)."""
    rows = sorted((t, n, left, size) for n, (frames, left, size) in enumerate(people) for t in frames)
    frame, person, left, size = np.array(rows).T
    boxes = np.stack([left, np.full(len(left), 50.0), left + size, 50.0 + size], axis=-1)
    return frame.astype(int), person.astype(int), boxes


def people_of(choice, person):
    """The chosen person of each frame; -1 for none."""
    return [int(person[face]) if face >= 0 else -1 for face in choice.face]


def test_frames_without_the_person_are_listed():
    frame, person, boxes = faces(([*range(40), *range(60, T)], 10, 80))
    choice = choose(frame, person, boxes, T, FPS)
    assert choice.no_face == [[40, 60]] and choice.several == [] and choice.people == 1
    assert (choice.face[40:60] == -1).all() and (frame[choice.face[60:]] == np.arange(60, T)).all()


def test_a_video_without_a_face_is_rejected():
    with pytest.raises(InputError, match="no face"):
        choose(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4)), T, FPS)


def test_with_two_people_a_choice_is_required():
    frame, person, boxes = faces((range(T), 300, 80), (range(30, T), 10, 100))
    with pytest.raises(InputError, match=r"2 people, together in frames 30-99.*--face"):
        choose(frame, person, boxes, T, FPS)
    for face, number in (("left", 1), ("right", 0), ("largest", 0), ("0", 1), ("1", 0)):
        choice = choose(frame, person, boxes, T, FPS, face)
        assert set(people_of(choice, person)) - {-1} == {number}
        assert choice.several == [[30, T]] and choice.people == 2
    assert choose(frame, person, boxes, T, FPS, "left").no_face == [[0, 30]]


def test_unknown_numbers_and_words_are_rejected():
    frame, person, boxes = faces((range(T), 300, 80))
    with pytest.raises(InputError, match="no face 1"):
        choose(frame, person, boxes, T, FPS, "1")
    for word in ("middle", "-1", "1.5", ""):
        with pytest.raises(UsageError, match="largest"):
            choose(frame, person, boxes, T, FPS, word)


def test_small_faces_and_short_appearances_are_ignored():
    frame, person, boxes = faces((range(T), 300, 100), (range(T), 10, 30), (range(50, 55), 100, 90))
    choice = choose(frame, person, boxes, T, FPS)
    assert set(people_of(choice, person)) == {0} and choice.people == 1
    assert choice.several == [[50, 55]]  # reported, but the persistent person is chosen


def test_people_who_are_never_visible_together_are_taken_for_one_and_reported():
    frame, person, boxes = faces((range(50), 300, 80), (range(50, T), 10, 80))
    choice = choose(frame, person, boxes, T, FPS)
    assert choice.successive and choice.no_face == []
    assert not choose(frame, person, boxes, T, FPS, "left").successive


def test_a_single_frame_is_enough():
    frame, person, boxes = faces(([0], 300, 80))
    assert choose(frame, person, boxes, 1, FPS).face.tolist() == [0]
    frame, person, boxes = faces(([0], 300, 80), ([0], 10, 80))
    with pytest.raises(InputError, match="2 people"):
        choose(frame, person, boxes, 1, FPS)
