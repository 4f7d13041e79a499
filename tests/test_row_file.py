"""Rows of a corpus in an unnamed file."""

from __future__ import annotations

import numpy as np
import pytest

from jean import row_file
from jean.row_file import RowFile, gather_rows


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


def test_gathered_rows_are_the_same_in_memory_and_in_a_file(monkeypatch):
    parts = [np.random.default_rng(n).random((n, 2)).astype(np.float32) for n in (3, 1, 0, 5)]
    short = gather_rows(iter(parts))
    monkeypatch.setattr(row_file, "IN_MEMORY", 20)  # bytes: the first block is longer
    long = gather_rows(iter(parts))
    np.testing.assert_array_equal(short, np.concatenate(parts))
    np.testing.assert_array_equal(long, short)
    assert isinstance(long.base, np.memmap) and not isinstance(short.base, np.memmap)
    long[0] = 7  # as an array in memory
    assert long[0, 0] == 7
