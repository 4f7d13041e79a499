"""The background plate: medians of visible pixels, smooth filling of the others."""

from __future__ import annotations

import numpy as np

from jean.preparation.background import background_plate, fill, visible_background


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
