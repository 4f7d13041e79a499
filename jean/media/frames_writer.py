"""Writes a result as PNG frames and a wav file, for machines without a video encoder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np

from jean.errors import InputError, UsageError
from jean.files import write_error, write_json
from jean.media.image import check_rgb, encode_png
from jean.media.image_sequence import FRAMES_FILE, SOUND_FILE
from jean.media.rates import rational_fps
from jean.media.wav import write_wav


def check_frames_folder(path: Path) -> None:
    """Checks that frames can be written to a folder: absent, empty, or written by a ``FramesWriter``.

    Raises:
        UsageError: it holds other files.
    """
    foreign = path.exists() and not (path / FRAMES_FILE).is_file()
    if foreign and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path} exists and holds other files.", "Choose another --output.")


class FramesWriter:
    """Writes ``000000.png``, ``000001.png``, …, ``audio.wav`` and ``frames.json``; a ``Writer``.

    The folder appears under its name only after the ``with`` block ends without an exception.
    ``frames.json`` holds the exact frame rate, the size, the number of frames and the tags.

    Args:
        folder: must be absent, empty, or written by an earlier ``FramesWriter``, which it then replaces.
        size: (width, height) px.
        fps: frames per second, a number or an exact fraction.
        audio: (float [S] or [S, C] in [-1, 1], sampling rate in Hz), or None.
        metadata: tags, stored in ``frames.json``.
        before_rename: called with the complete temporary folder; after an exception in it, nothing is renamed.

    Raises:
        UsageError: the folder holds other files.
        SetupError: the folder cannot be written.
        InputError: no frame was written, or audio samples are NaN or infinite.
    """

    def __init__(
        self,
        folder: str | Path,
        size: tuple[int, int],
        fps: float | Fraction,
        audio: tuple[np.ndarray, int] | None = None,
        metadata: dict[str, str] | None = None,
        before_rename: Callable[[Path], None] = lambda temporary: None,
    ):
        self.path = Path(folder)
        self.note = f"Wrote PNG frames and a wav to {self.path}."
        self._size = size
        self._rate = fps if isinstance(fps, Fraction) else rational_fps(fps)
        self._audio = audio
        self._metadata = metadata or {}
        self._before_rename = before_rename
        self._frames = 0
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")

    def __enter__(self) -> FramesWriter:
        check_frames_folder(self.path)
        try:
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial.mkdir(parents=True)
        except OSError as error:
            raise write_error(self.path, error) from error
        return self

    def write(self, rgb: np.ndarray) -> None:
        """Appends a frame, uint8 [H, W, 3].

        Raises:
            ValueError: another shape or type.
            SetupError: the frame cannot be written.
        """
        check_rgb(rgb, self._size)
        try:
            (self._partial / f"{self._frames:06d}.png").write_bytes(encode_png(rgb))
        except OSError as error:
            raise write_error(self.path, error) from error
        self._frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)

    def _finish(self) -> None:
        if not self._frames:
            raise InputError(f"{self.path} would have no frame.", "Check the length of the inputs.")
        if self._audio is not None and len(self._audio[0]):
            write_wav(self._partial / SOUND_FILE, *self._audio)
        write_json(
            self._partial / FRAMES_FILE,
            {
                "fps": [self._rate.numerator, self._rate.denominator],
                "size": list(self._size),
                "frames": self._frames,
                "metadata": self._metadata,
            },
        )
        self._before_rename(self._partial)
        try:
            if self.path.exists():
                shutil.rmtree(self.path)
            self._partial.rename(self.path)
        except OSError as error:
            raise write_error(self.path, error) from error
