"""PNG frames and a wav in a folder: a result where there is no video encoder."""

from __future__ import annotations

import os
import shutil
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np

from jean.errors import InputError, SetupError, UsageError
from jean.files import write_error, write_json
from jean.media.wav import write_wav


class FramesWriter:
    """Writes ``000000.png`` and on, ``audio.wav`` and ``frames.json``; used like ``VideoWriter``.

    The folder appears, whole, at a clean end. ``frames.json`` holds the exact rate, the size, the
    number of frames and the tags.

    Args:
        folder: absent, empty, or from an earlier ``FramesWriter``, which is then replaced.
        size: (width, height) px.
        fps: frames a second, a number or an exact fraction.
        audio: (float [S] or [S, C] in [-1, 1], samples a second), or None.
        metadata: kept in ``frames.json``.

    Raises:
        UsageError: the folder holds other things.
        SetupError: it cannot be written.
        InputError: no frame came, or the sound holds samples that are not numbers.
    """

    def __init__(
        self,
        folder: str | Path,
        size: tuple[int, int],
        fps: float | Fraction,
        audio: tuple[np.ndarray, int] | None = None,
        metadata: dict[str, str] | None = None,
    ):
        from jean.media.write import rational_fps

        self.path = Path(folder)
        self.note = f"PNG frames and a wav go to {self.path}."
        self._size = size
        self._rate = fps if isinstance(fps, Fraction) else rational_fps(fps)
        self._audio = audio
        self._metadata = metadata or {}
        self._frames = 0
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")

    def __enter__(self) -> FramesWriter:
        foreign = self.path.exists() and not (self.path / "frames.json").is_file()
        if foreign and (not self.path.is_dir() or any(self.path.iterdir())):
            raise UsageError(f"{self.path} is there and holds other things.", "Choose another --output.")
        try:
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial.mkdir(parents=True)
        except OSError as error:
            raise write_error(self.path, error) from error
        return self

    def write(self, rgb: np.ndarray) -> None:
        """Adds a frame, uint8 [H, W, 3].

        Raises:
            ValueError: another shape or type.
            SetupError: it cannot be written.
        """
        import cv2

        if rgb.dtype != np.uint8 or rgb.shape != (self._size[1], self._size[0], 3):
            raise ValueError(f"frame is {rgb.dtype} {rgb.shape}, not uint8 of {self._size[0]}×{self._size[1]}")
        done, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        if not done:
            raise SetupError(f"cannot encode a PNG of {self._size[0]}×{self._size[1]} pixels.")
        try:
            (self._partial / f"{self._frames:06d}.png").write_bytes(data.tobytes())
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
            raise InputError(f"no frame was made for {self.path}.", "Check the length of the inputs.")
        if self._audio is not None and len(self._audio[0]):
            write_wav(self._partial / "audio.wav", *self._audio)
        write_json(
            self._partial / "frames.json",
            {
                "fps": [self._rate.numerator, self._rate.denominator],
                "size": list(self._size),
                "frames": self._frames,
                "metadata": self._metadata,
            },
        )
        try:
            if self.path.exists():
                shutil.rmtree(self.path)
            self._partial.rename(self.path)
        except OSError as error:
            raise write_error(self.path, error) from error
