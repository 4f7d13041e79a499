import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jean.clips.meta import Crop
from jean.preparation.crop import choose_crop, crop_image


def square(left, top, side):
    return Crop(left_px=left, top_px=top, side_px=side)


def test_a_central_face_gets_hair_and_shoulders():
    crop = choose_crop(np.array([[860.0, 400, 1060, 600]]), 1920, 1080)
    # 200 px of face: 150 above, 130 below, 110 at each side
    assert (crop.top_px, crop.side_px) == (250, 480)
    assert crop.left_px + crop.side_px / 2 == pytest.approx(960, abs=1)


def test_a_crop_stays_inside_the_frame_if_it_fits():
    crop = choose_crop(np.array([[0.0, 0, 300, 300]]), 1920, 1080)
    assert (crop.left_px, crop.top_px) == (0, 0)
    crop = choose_crop(np.array([[1500.0, 800, 1900, 1075]]), 1920, 1080)
    assert crop.left_px + crop.side_px == 1920 and crop.top_px + crop.side_px == 1080


def test_a_head_that_fills_the_frame_gives_the_whole_frame():
    assert choose_crop(np.array([[80.0, 100, 430, 480]]), 512, 512) == square(0, 0, 512)


def test_a_face_that_does_not_fit_is_padded_not_cut():
    boxes = np.array([[100.0, 400, 400, 700], [1500, 400, 1800, 700]])  # walks across a wide picture
    crop = choose_crop(boxes, 1920, 1080)
    assert crop.left_px <= 100 and crop.left_px + crop.side_px >= 1800
    assert crop.top_px < 0 and crop.top_px + crop.side_px > 1080


def test_one_outlier_frame_does_not_shrink_the_face():
    steady = np.tile([860.0, 400, 1060, 600], (300, 1))
    jump = steady.copy()
    jump[7] += [0, -60, 0, -60]
    assert choose_crop(jump, 1920, 1080).side_px <= choose_crop(steady, 1920, 1080).side_px + 2


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_face_lies_inside_the_crop(data):
    width, height = data.draw(st.integers(40, 3000)), data.draw(st.integers(40, 3000))
    boxes = []
    for _ in range(data.draw(st.integers(1, 5))):
        size = data.draw(st.floats(4, min(width, height) / 2))
        left, top = data.draw(st.floats(0, width - size)), data.draw(st.floats(0, height - size))
        boxes.append([left, top, left + size, top + size])
    boxes = np.array(boxes)
    crop = choose_crop(boxes, width, height)
    inside = boxes.clip(0, [width, height] * 2)
    assert (inside[:, 0] >= crop.left_px - 1).all() and (inside[:, 2] <= crop.left_px + crop.side_px + 1).all()
    assert (inside[:, 1] >= crop.top_px - 1).all() and (inside[:, 3] <= crop.top_px + crop.side_px + 1).all()
    if crop.side_px <= min(width, height):
        assert crop.left_px >= 0 and crop.left_px + crop.side_px <= width
        assert crop.top_px >= 0 and crop.top_px + crop.side_px <= height


def test_cropped_pixels_and_points_agree():
    image = np.zeros((100, 200, 3), np.uint8)
    image[40:44, 120:124] = 255  # centre at (122, 42)
    for size, crop in ((50, square(90, 10, 80)), (160, square(90, 10, 80)), (64, square(60, -20, 150))):
        shown = crop_image(image, crop, size).astype(float)[..., 0]
        assert shown.shape == (size, size)
        rows, columns = np.mgrid[:size, :size] + 0.5
        found = [(shown * columns).sum() / shown.sum(), (shown * rows).sum() / shown.sum()]
        np.testing.assert_allclose(found, crop.points(np.array([122.0, 42.0]), size), atol=0.05)


def test_edge_pixels_are_repeated_beyond_the_frame():
    image = np.zeros((10, 20, 3), np.uint8)
    image[0], image[-1] = 50, 200
    shown = crop_image(image, square(0, -5, 20), 20)
    assert (shown[:6] == 50).all() and (shown[14:] == 200).all() and shown.flags.c_contiguous
