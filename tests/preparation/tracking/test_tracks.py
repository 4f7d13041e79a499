"""The file of all tracked faces: positions in px of the full frame, whatever size the tracker saw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jean.features.base import Face
from jean.preparation.tracking.tracks import Tracks, write_tracks
from tests.helpers.drawn_face import face_at


class BlockTracker:
    """Finds the face at the corners of a white block."""

    def __init__(self, full_frames: bool):
        self.full_frames = full_frames
        self.sizes: list[tuple[int, ...]] = []

    def track(self, frames: Iterator[tuple[float, np.ndarray]]) -> Iterator[list[Face]]:
        for _, image in frames:
            self.sizes.append(image.shape[:2])
            rows, columns = np.nonzero(image[..., 0] > 127)
            low = np.array([columns.min(), rows.min()])
            high = np.array([columns.max(), rows.max()]) + 1
            yield [face_at(np.linspace(low, high, 68))]


@pytest.mark.parametrize(("full_frames", "size"), [(False, (1080, 1920)), (True, (2160, 3840))])
def test_large_frames_are_shrunk_unless_the_tracker_does_it(
    tmp_path: Path, full_frames: bool, size: tuple[int, int]
) -> None:
    image = np.zeros((2160, 3840, 3), np.uint8)
    image[600:1000, 2000:2500] = 255
    tracker = BlockTracker(full_frames)
    info = write_tracks(tmp_path, [(0.0, image), (0.04, image)], tracker)
    assert tracker.sizes == [size] * 2
    assert (info["frames"], info["faces"], info["width_px"], info["height_px"]) == (2, 2, 3840, 2160)
    landmarks = Tracks.open(tmp_path, info).values("landmarks", np.array([1]))[0]
    np.testing.assert_allclose(landmarks[[0, -1]], [[2000, 600], [2500, 1000]], atol=0.01)


def test_sides_that_are_no_multiple_of_the_factor_have_their_own_scale(tmp_path: Path) -> None:
    image = np.zeros((1443, 2561, 3), np.uint8)
    image[600:1000, 2000:2500] = 255
    info = write_tracks(tmp_path, [(0.0, image)], BlockTracker(False))
    landmarks = Tracks.open(tmp_path, info).values("landmarks", np.array([0]))[0]
    np.testing.assert_allclose(landmarks[[0, -1]], [[2000, 600], [2500, 1000]], atol=2)
