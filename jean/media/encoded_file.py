"""What the writers of videos and of GIFs share: a file that is complete or absent."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jean.errors import InputError
from jean.files import atomic_path
from jean.media.container import encoder_errors, import_av
from jean.media.rates import rational_fps

if TYPE_CHECKING:
    from typing_extensions import Self


class EncodedFile:
    """A file that PyAV encodes: under a temporary name until the ``with`` block ends without an exception.

    A subclass opens the container, appends frames to ``_video`` and counts them in ``_frames``.

    Args:
        path: the file.
        size: (width, height) of the frames, px.
        fps: frames per second, a number or an exact fraction; see ``rational_fps``.
        before_rename: called with the complete temporary file, see ``jean.files.atomic_path``.

    Raises:
        SetupError: PyAV is not installed, or the file cannot be written.
        InputError: no frame was written.
        UsageError: the rate is impossible.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        fps: float | Fraction,
        before_rename: Callable[[Path], None] = lambda temporary: None,
    ):
        import_av(f"writing {path}")
        self.path = Path(path)
        self.note = ""
        self._size = size
        self._rate = fps if isinstance(fps, Fraction) else rational_fps(fps)
        self._before_rename = before_rename
        self._frames = 0
        self._container: Any = None
        self._video: Any = None

    def __enter__(self) -> Self:
        import av

        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path, self._before_rename))
            stack.enter_context(encoder_errors(self.path))  # also while the file is closed
            name = f"file:{temporary.absolute()}"
            self._container = stack.enter_context(av.open(name, "w", **self._container_options()))
            self._add_streams()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            if not self._frames:
                raise InputError(f"{self.path} would have no frame.", "Check the length of the inputs.")
            self._flush()

    def _container_options(self) -> dict[str, Any]:
        """Keyword arguments of ``av.open``."""
        raise NotImplementedError

    def _add_streams(self) -> None:
        """Adds the streams to ``_container``."""
        raise NotImplementedError

    def _flush(self) -> None:
        """Writes what the encoders still hold."""
        self._container.mux(self._video.encode(None))
