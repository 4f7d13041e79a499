import numpy as np
import pytest

from jean import landmarks as ibug


def test_parts_cover_every_point_once():
    covered = np.concatenate([np.arange(*span) for span in ibug.PARTS.values()])
    assert covered.tolist() == list(range(68))
    for part, points in (("right_eye", ibug.RIGHT_EYE), ("left_eye", ibug.LEFT_EYE), ("jaw", ibug.JAW)):
        assert np.arange(68)[points].tolist() == ibug.indices(part).tolist()
    assert np.arange(68)[ibug.MOUTH].tolist() == ibug.indices("outer_lips", "inner_lips").tolist()
    assert np.arange(68)[ibug.NOSE].tolist() == ibug.indices("nose_bridge", "nose_base").tolist()
    assert len(ibug.NAMES) == len(set(ibug.NAMES)) == 68
    assert ibug.NAMES[8] == "jaw_8" and ibug.NAMES[67] == "inner_lips_7"


def test_distances_agree_with_values_by_hand():
    points = np.zeros((2, 68, 2))
    points[0, ibug.LEFT_EYE_OUTER] = 30, 40
    points[0, ibug.LOWER_LIP_INNER] = 0, 5
    points[1] = np.nan
    assert ibug.inter_ocular(points)[0] == 50 and np.isnan(ibug.inter_ocular(points)[1])
    assert ibug.mouth_opening(points)[0] == pytest.approx(0.1)
    assert ibug.bounding_box(points)[0].tolist() == [0, 0, 30, 40] and np.isnan(ibug.bounding_box(points)[1]).all()


def test_gaps_are_filled_linearly_and_held_at_the_ends():
    nan = np.nan
    values = np.array([[nan], [1.0], [nan], [nan], [4.0], [nan]])
    filled = ibug.fill_gaps(values, np.array([0, 1, 0, 0, 1, 0], bool))
    assert filled[:, 0].tolist() == pytest.approx([1, 1, 2, 3, 4, 4])
    assert np.isnan(values[0])  # a copy


def test_valid_values_are_kept():
    values = np.array([1.0, 7.0, 9.0], np.float32)
    assert ibug.fill_gaps(values, np.ones(3, bool)).tolist() == [1, 7, 9]
    assert ibug.fill_gaps(values, np.array([True, False, True])).tolist() == [1, 5, 9]
    with pytest.raises(ValueError, match="no frame"):
        ibug.fill_gaps(values, np.zeros(3, bool))


def test_ranges_are_runs_of_true_values():
    assert ibug.ranges(np.array([1, 0, 1, 1], bool)) == [[0, 1], [2, 4]]
    assert ibug.ranges(np.zeros(3, bool)) == [] and ibug.ranges(np.zeros(0, bool)) == []
