"""Opens the writer for a result: a video, a GIF or PNG frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from jean.errors import UsageError
from jean.media.container import has_av
from jean.media.frames_writer import FramesWriter, check_frames_folder
from jean.media.gif_writer import GifWriter
from jean.media.rates import rational_fps
from jean.media.video_writer import VideoWriter

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".gif")


class Writer(Protocol):
    """Receives the frames of a result; use it in a ``with`` statement.

    Attributes:
        path: the file or folder that exists after the ``with`` block ends without an exception.
        note: one line to show to the user, or an empty string.
    """

    path: Path
    note: str

    def __enter__(self) -> Writer: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, rgb: np.ndarray) -> None:
        """Appends a frame, uint8 [H, W, 3]."""
        ...


def written_path(path: Path) -> Path:
    """What ``open_writer`` writes: the video or folder ``path``, or without PyAV a folder of PNG frames beside it."""
    return path if has_av() or not path.suffix else path.with_name(path.stem + "_frames")


def check_output(path: str | Path) -> Path:
    """Checks that a result can have this path: a known suffix, or none for a folder of PNG frames; returns it.

    Raises:
        UsageError: another suffix, or a folder that holds other files.
    """
    path = Path(path)
    if not path.suffix:
        check_frames_folder(path)
    if path.suffix and path.suffix.lower() not in VIDEO_SUFFIXES:
        raise UsageError(
            f"{path} has an unknown suffix.",
            f"Use one of {', '.join(VIDEO_SUFFIXES)}, or none for a folder of PNG frames.",
        )
    return path


def open_writer(
    path: str | Path,
    size: tuple[int, int],
    fps: float,
    audio: tuple[np.ndarray, int] | None = None,
    crf: int = 18,
    metadata: dict[str, str] | None = None,
    before_rename: Callable[[Path], None] = lambda temporary: None,
) -> Writer:
    """Creates a ``VideoWriter`` or ``GifWriter``, or a ``FramesWriter`` for a folder or if PyAV is not installed.

    Args:
        path: of the video; a path without a suffix is a folder for PNG frames. Without PyAV, PNG frames go to
            ``written_path(path)``, a folder beside the video. The ``note`` of the writer tells the user about it.
        size: (width, height) of the frames, px.
        fps: frames per second; see ``rational_fps``.
        audio: (float [S] or [S, C] in [-1, 1], sampling rate in Hz), or None.
        crf: quality, 0 (best) to 51; not for a GIF or PNG frames.
        metadata: tags of the file.
        before_rename: called with the complete temporary file or folder, before it gets its name.

    Raises:
        UsageError: the path has no video suffix, or the rate or size is impossible.
    """
    path = check_output(path)
    rate = rational_fps(fps)
    if not path.suffix:
        writer = FramesWriter(path, size, rate, audio, metadata, before_rename)
        writer.note = ""
        return writer
    if has_av() and path.suffix.lower() == ".gif":
        return GifWriter(path, size, rate, audio is not None, before_rename)
    if has_av():
        return VideoWriter(path, size, rate, audio, crf, metadata, before_rename)
    writer = FramesWriter(written_path(path), size, rate, audio, metadata, before_rename)
    writer.note = f"PyAV is not installed: wrote PNG frames and a wav to {writer.path}. For {path.name}: pip install av"
    return writer
