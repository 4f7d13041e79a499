"""The invisible mark: it is found again after re-encoding and resizing, and in no picture that lacks it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from jean.errors import UsageError
from jean.marks.watermark import embed, find, holds_mark, is_marked
from jean.media import VideoWriter, read_frames


def scene(seed: int = 0, size: int = 256) -> np.ndarray:
    """A picture with smooth and busy parts, uint8 [S, S, 3]."""
    random = np.random.default_rng(seed)
    small = random.uniform(60, 200, (size // 16, size // 16, 3)).astype(np.float32)
    smooth = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + random.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def test_a_marked_picture_looks_the_same_and_holds_the_mark() -> None:
    image = scene()
    marked = embed(image)
    difference = marked.astype(float) - image
    assert 10 * np.log10(255**2 / np.square(difference).mean()) > 35
    assert holds_mark(marked)


def test_unmarked_pictures_hold_none() -> None:
    assert not any(holds_mark(scene(seed)) for seed in range(12))
    assert not holds_mark(np.zeros((256, 256, 3), np.uint8))


def test_the_mark_survives_resizing_and_encoding(tmp_path: Path) -> None:
    image = scene(1)
    marked = embed(image)
    assert find([cv2.resize(marked, (384, 384), interpolation=cv2.INTER_CUBIC)])
    with VideoWriter(tmp_path / "a.mp4", (256, 256), 25, crf=23) as writer:
        for index in range(13):
            writer.write(marked if is_marked(index, 25) else image)
    frames = [frame for _, frame in islice(read_frames(tmp_path / "a.mp4"), 13)]
    assert holds_mark(frames[0]) and find(frames)


def test_a_frame_of_every_half_second_is_marked() -> None:
    assert [index for index in range(60) if is_marked(index, 25)] == [0, 12, 24, 36, 48]
    assert [index for index in range(4) if is_marked(index, 1)] == [0, 1, 2, 3]


def test_small_frames_are_refused() -> None:
    with pytest.raises(UsageError, match="256"):
        embed(np.zeros((255, 300, 3), np.uint8))
