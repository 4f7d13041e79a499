"""Rows of a corpus in an unnamed file."""

from __future__ import annotations

import numpy as np
import pytest

from jean.drivers.row_file import RowFile


def test_rows_follow_one_another_and_leave_no_file(tmp_path):
    parts = [np.random.default_rng(n).random((n, 3, 2)).astype(np.float32) for n in (4, 0, 1, 7)]
    file = RowFile(tmp_path / "not" / "there")
    assert [file.append(part) for part in parts] == [0, 4, 4, 5]
    rows = file.map()
    del file
    np.testing.assert_array_equal(rows, np.concatenate(parts))
    assert not rows.flags.writeable and not list(tmp_path.iterdir())


def test_rows_of_another_shape_are_refused_and_no_rows_are_an_empty_array():
    file = RowFile()
    assert file.map().shape == (0,)
    file.append(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="rows of shape"):
        file.append(np.zeros((2, 4)))
