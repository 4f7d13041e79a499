"""Safetensors files that are written piece by piece."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from jean.tensor_file import tensor_file

ARRAYS = {
    "times_s": np.arange(7) / 25,
    "valid": np.array([True, False] * 3 + [True]),
    "points": np.random.default_rng(0).standard_normal((7, 3, 2)).astype(np.float32),
    "shape": np.ones((3, 3), np.float32),
    "none": np.zeros((0, 4), np.float32),
}


def write(path, arrays, step):
    shapes = {name: (array.dtype, array.shape) for name, array in arrays.items()}
    with tensor_file(path, shapes) as file:
        for name, array in arrays.items():
            for first in range(0, len(array), step):
                file.write(name, array[first : first + step], first)


@pytest.mark.parametrize("step", [1, 3, 100])
def test_pieces_give_the_bytes_of_the_library(tmp_path, step):
    write(tmp_path / "a.safetensors", ARRAYS, step)
    assert (tmp_path / "a.safetensors").read_bytes() == save(ARRAYS)


def test_rows_take_the_type_of_their_array_and_missing_ones_are_zero(tmp_path):
    with tensor_file(tmp_path / "a.safetensors", {"x": (np.dtype(np.float32), (3, 2))}) as file:
        file.write("x", np.array([[1.5, 2.5]], np.float64), 1)
    assert load_file(tmp_path / "a.safetensors")["x"].tolist() == [[0, 0], [1.5, 2.5], [0, 0]]


def test_rows_that_do_not_fit_leave_no_file(tmp_path):
    for rows, first in ((np.zeros((1, 3)), 0), (np.zeros((2, 2)), 2)):
        with (
            pytest.raises(ValueError, match="do not fit"),
            tensor_file(tmp_path / "a.safetensors", {"x": (np.dtype(np.float32), (3, 2))}) as file,
        ):
            file.write("x", rows, first)
    assert not list(tmp_path.iterdir())
