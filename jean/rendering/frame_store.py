"""Store of rendered frames until their video is complete: PNG files that survive an interruption."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import ArtefactError
from jean.files import read_json, write_error, write_json
from jean.media import write_opacity, write_png
from jean.media.image import decode_image, is_whole_png

RECORD = "key.json"
DEPTH_UNITS_PER_CM = 100  # of the 16-bit depth images, which therefore reach 655 cm


class FrameStore:
    """Frames 0 to ``total`` - 1 of one render, in a folder that belongs to one ``key``.

    Args:
        folder: created where it does not exist; frames of another or of no known key are removed.
        key: everything that the pixels depend on, as JSON values.
        total: number of frames.
        size: side of the frames, px.
        depth: whether to store a depth image with each frame.
        layers: whether to store the opacity of head and torso with each frame.
    """

    def __init__(self, folder: Path, key: dict[str, Any], total: int, size: int, depth: bool, layers: bool = False):
        self.folder, self.total, self.size, self.depth, self.layers = folder, total, size, depth, layers
        folder.mkdir(parents=True, exist_ok=True)
        record = folder / RECORD
        if stored_key(folder) != key:  # also None, where a store was removed in part
            record.unlink(missing_ok=True)
            for path in folder.glob("[0-9]*.png"):
                path.unlink(missing_ok=True)  # another shard may be doing the same
            write_json(record, key)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.png"

    def _depth_path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.depth.png"

    def _layers_path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.layers.png"

    def has(self, index: int) -> bool:
        """Whether a frame is stored."""
        return self._path(index).exists()

    def count(self) -> int:
        """Number of stored frames."""
        return sum(self.has(index) for index in range(self.total))

    def complete(self) -> bool:
        """Whether all frames are stored."""
        return all(self.has(index) for index in range(self.total))

    def write(self, index: int, rgb: np.ndarray, depth_cm: np.ndarray, opacity: np.ndarray | None = None) -> None:
        """Stores a frame.

        Args:
            index: number of the frame.
            rgb: uint8 [H, W, 3].
            depth_cm: float [H, W]; stored if the store was created with ``depth``.
            opacity: of head and torso, uint8 [H, W, 2]; needed if the store was created with ``layers``.
        """
        if self.depth:
            units = np.clip(depth_cm * DEPTH_UNITS_PER_CM, 0, 65535).astype(np.uint16)
            write_png(self._depth_path(index), units, fast=True)
        if self.layers:
            assert opacity is not None
            write_opacity(self._layers_path(index), opacity)
        write_png(self._path(index), rgb, fast=True)  # written last: its presence marks the frame as complete

    def read(self, index: int) -> np.ndarray | None:
        """Reads a stored frame, uint8 [H, W, 3], RGB; None where an image of it is missing or damaged."""
        paths = [self._path(index)]
        paths += [self._depth_path(index)] if self.depth else []
        paths += [self._layers_path(index)] if self.layers else []
        try:
            contents = [path.read_bytes() for path in paths]
        except OSError:
            return None
        if not all(map(is_whole_png, contents)):
            return None
        return decode_image(contents[0])

    def hand_over(self, frames: Path | None, depths: Path | None, layers: Path | None = None) -> None:
        """Copies the PNG files of all frames.

        Args:
            frames: folder for the frames; None to copy none.
            depths: folder for the depth images; None to copy none.
            layers: folder for the opacities; None to copy none.

        Raises:
            SetupError: a folder cannot be written, or the disk is full.
        """
        for folder, path_of in ((frames, self._path), (depths, self._depth_path), (layers, self._layers_path)):
            if folder is not None:
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                    for index in range(self.total):
                        shutil.copyfile(path_of(index), folder / f"{index:06d}.png")
                except OSError as error:
                    raise write_error(folder, error) from error

    def remove(self) -> None:
        """Removes the frames and the folder."""
        shutil.rmtree(self.folder)


def stored_key(folder: Path) -> dict[str, Any] | None:
    """The key that a folder of frames belongs to; None where its record is missing or damaged."""
    try:
        key = read_json(folder / RECORD)
    except ArtefactError:
        return None
    return key if isinstance(key, dict) else None
