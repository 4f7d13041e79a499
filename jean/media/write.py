"""What takes the frames of a result, and which kind this machine can write."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from jean.errors import UsageError
from jean.media.container import has_av
from jean.media.frames_writer import FramesWriter
from jean.media.video_writer import VideoWriter

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")


class Writer(Protocol):
    """Takes frames, in a ``with`` statement.

    Attributes:
        path: the file or folder that is there after a clean end.
        note: one line that the user should see, empty if there is nothing to tell.
    """

    path: Path
    note: str

    def __enter__(self) -> Writer: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, rgb: np.ndarray) -> None:
        """Adds a frame, uint8 [H, W, 3]."""
        ...


def rational_fps(fps: float) -> Fraction:
    """The exact rate that a rounded number means: 29.97 is 30000/1001, 12.5 is 25/2.

    Raises:
        UsageError: not between 1 and 1000.
    """
    if not math.isfinite(fps) or not 1 <= fps <= 1000:
        raise UsageError(f"{fps} frames a second are not possible.", "Choose a rate from 1 to 1000.")
    for whole in (24, 30, 48, 60, 120):
        if abs(fps - whole * 1000 / 1001) < 0.006:  # 23.98 and 29.97 are written with two digits
            return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1001)


def open_writer(
    path: str | Path,
    size: tuple[int, int],
    fps: float,
    audio: tuple[np.ndarray, int] | None = None,
    crf: int = 18,
    metadata: dict[str, str] | None = None,
) -> Writer:
    """A ``VideoWriter``, or where PyAV is missing a ``FramesWriter`` beside it whose ``note`` says so.

    Args:
        path: of the video; the frames go to a folder beside it, ``out_frames`` for ``out.mp4``.
        size: (width, height) of the frames, px.
        fps: frames a second; see ``rational_fps``.
        audio: (float [S] or [S, C] in [-1, 1], samples a second), or None.
        crf: x264's quality.
        metadata: tags.

    Raises:
        UsageError: the name does not end like a video, or the rate or size is impossible.
    """
    path = Path(path)
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        raise UsageError(f"{path} does not end like a video.", f"End it in one of {', '.join(VIDEO_SUFFIXES)}.")
    rate = rational_fps(fps)
    if has_av():
        return VideoWriter(path, size, rate, audio, crf, metadata)
    writer = FramesWriter(path.with_name(path.stem + "_frames"), size, rate, audio, metadata)
    writer.note = f"PyAV is not installed: PNG frames and a wav go to {writer.path}. For {path.name}: pip install av"
    return writer
