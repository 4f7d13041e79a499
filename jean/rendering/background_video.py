"""A video as the background of a result."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jean.drivers.resampling import Repeat, source_positions
from jean.errors import InputError
from jean.media import read_frames
from jean.media.image import central_square


class BackgroundVideo:
    """The central square of each frame of a video, at the rate and size of a result.

    The frames are decoded once, into a temporary file that is mapped into memory: size² · 3 bytes for each frame of
    the video, up to the length of the result.

    Args:
        path: a video or a folder of numbered images.
        size: side of the result's frames, px.
        fps: frames per second of the result.
        count: frames of the result.
        repeat: what follows the end of the video; see ``source_positions``.

    Raises:
        InputError: the video cannot be read.
    """

    def __init__(self, path: Path, size: int, fps: float, count: int, repeat: Repeat):
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the object)
        frames = 0
        for square in _squares(path, size, fps, count):
            self._file.write(square.tobytes())
            frames += 1
        if not frames:
            raise InputError(f"{path} has no frame.", "Choose another --background.")
        self._file.flush()
        self._frames = np.memmap(self._file, np.uint8, "r", shape=(frames, size, size, 3))
        times_s = (np.arange(count) + 0.5) / fps
        self._positions = np.round(source_positions(times_s, fps, frames, repeat)).astype(int)

    def at(self, index: int) -> np.ndarray:
        """Background of one frame of the result, uint8 [size, size, 3], RGB."""
        return np.array(self._frames[self._positions[index]])


def _squares(path: Path, size: int, fps: float, count: int) -> Iterator[np.ndarray]:
    for _, image in read_frames(path, fps, stop_s=count / fps):
        yield central_square(image, size)
