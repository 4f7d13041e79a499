"""Reading and writing still images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from jean.errors import InputError, SetupError
from jean.media import encode_png, read_image, write_png


def colours() -> np.ndarray:
    """Random RGB uint8 [24, 40, 3]; its channels differ, so that a swap shows."""
    return np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8)


@pytest.mark.parametrize("fast", [False, True])
def test_png_keeps_every_pixel_and_the_rgb_order(tmp_path: Path, fast: bool) -> None:
    path = tmp_path / "new" / "ü.png"
    write_png(path, colours(), fast=fast)
    assert np.array_equal(read_image(path), colours())
    assert np.array_equal(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1], colours())


def test_one_channel_of_16_bits_is_kept(tmp_path: Path) -> None:
    depth = np.arange(24 * 40, dtype=np.uint16).reshape(24, 40) * 60
    write_png(tmp_path / "depth.png", depth)
    assert np.array_equal(cv2.imread(str(tmp_path / "depth.png"), cv2.IMREAD_UNCHANGED), depth)


@pytest.mark.parametrize("bad", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)])
def test_other_arrays_are_rejected(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="PNG"):
        encode_png(bad)


def test_files_that_are_no_images_are_rejected_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image")
    for name in ("empty.png", "text.png", "absent.png", "."):
        with pytest.raises(InputError) as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_an_image_that_cannot_be_written_is_one_setup_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="cannot write"):
        write_png(tmp_path / "file" / "a.png", colours())
