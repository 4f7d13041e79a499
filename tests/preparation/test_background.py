"""The background plate: medians of visible pixels, no remains of the person, structure that continues."""

from __future__ import annotations

import numpy as np

from jean.preparation.background import background_plate, continue_structure, fill, visible_background


def moving_square(count=30, size=64, static=False):
    rows, columns = np.mgrid[0:size, 0:size]
    scene = np.stack([columns * 3, rows * 3, columns + rows], -1).astype(np.uint8)
    frames = np.repeat(scene[None], count, 0)
    mattes = np.zeros((count, size, size, 2), np.uint8)
    for t in range(count):
        left = 20 if static else t
        frames[t, 20:40, left : left + 20] = (255, 0, 255)
        mattes[t, 20:40, left : left + 20, t % 2] = 255
    return scene, frames, mattes


def test_pixels_that_are_sometimes_uncovered_are_exact():
    scene, frames, mattes = moving_square()
    plate, seen = visible_background(frames, mattes)
    assert seen.mean() > 0.9
    assert np.abs(plate[seen].astype(int) - scene[seen]).max() <= 1


def test_pixels_that_are_always_covered_are_filled_smoothly():
    scene, frames, mattes = moving_square(static=True)
    plate = background_plate(frames, mattes)
    # a gradient continues over the hole: nothing of the magenta square is left
    assert np.abs(plate.astype(int) - scene)[22:38, 22:38].mean() < 12
    assert not ((plate[..., 0] > 200) & (plate[..., 1] < 60) & (plate[..., 2] > 200)).any()


def test_fill_keeps_known_pixels_with_all_one_or_none_known():
    image = np.full((32, 48, 3), 90, np.uint8)
    known = np.zeros((32, 48), bool)
    assert (fill(image, known) == 127).all()
    known[3, 5] = True
    assert np.abs(fill(image, known).astype(int) - 90).max() <= 1
    assert (fill(image, np.ones_like(known)) == image).all()


def person_with_missed_hair(count=8, size=96):
    """A person before a wall with a line; the mattes miss a strip of hair, which stands still."""
    frames = np.full((count, size, size, 3), (90, 140, 170), np.uint8)
    frames[:, 44:52] = (230, 230, 230)  # the line, 8 px high
    mattes = np.zeros((count, size, size, 2), np.uint8)
    frames[:, 20:90, 36:60] = (60, 30, 20)
    mattes[:, 20:90, 36:57, 0] = 255  # three columns of hair are missed
    return frames, mattes


def test_hair_that_the_mattes_miss_does_not_stay_in_the_plate():
    frames, mattes = person_with_missed_hair()
    assert visible_background(frames, mattes)[0][:, 59].min() < 40  # the median still holds it
    assert background_plate(frames, mattes).min() > 70


def test_a_person_of_the_colour_of_the_wall_leaves_the_plate_known():
    frames, mattes = person_with_missed_hair()
    frames[:] = (90, 140, 170)
    assert (background_plate(frames, mattes) == frames[0]).all()


def test_a_line_continues_behind_the_person():
    frames, mattes = person_with_missed_hair()
    plate = background_plate(frames, mattes)
    for column in (39, 58):  # in the region that was filled, where a smooth fill is grey
        assert plate[48, column].mean() > 200
    wall = frames[0, 5, 5].astype(int)
    assert np.abs(plate[30, 37].astype(int) - wall).max() < 30


def test_known_pixels_of_a_plate_are_kept():
    frames, mattes = person_with_missed_hair(count=1)
    known = mattes[0].sum(-1) == 0
    assert (continue_structure(frames[0], known)[known] == frames[0][known]).all()
    assert (continue_structure(frames[0], np.zeros_like(known)) == 127).all()
