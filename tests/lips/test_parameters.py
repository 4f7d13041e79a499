"""Lip parameters measured from landmarks."""

from __future__ import annotations

import numpy as np

from jean.landmarks import INTER_OCULAR_CM
from jean.lips.parameters import measured_lips, opening_and_width


def face(opening, width):
    points = np.zeros((68, 2))
    points[36], points[45] = (-50, 0), (50, 0)  # 100 px between the outer eye corners
    points[48], points[54] = (-width / 2, 80), (width / 2, 80)
    points[61:64] = (0, 80 - opening / 2)
    points[65:68] = (0, 80 + opening / 2)
    return points


def test_opening_and_width_by_hand():
    np.testing.assert_allclose(opening_and_width(face(10, 60)), [10, 60])


def test_lips_of_a_video_have_the_scale_of_the_head():
    video = np.stack([face(10, 60), face(20, 60), np.full((68, 2), np.nan)])
    lips = measured_lips(3 * video)
    np.testing.assert_allclose(lips[:2] / INTER_OCULAR_CM, [[0.1, 0.6], [0.2, 0.6]])
    assert np.isnan(lips[2]).all()
