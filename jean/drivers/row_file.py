"""Arrays of a whole corpus in an unnamed file, so that they take no memory of the process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from jean.files import write_error


class RowFile:
    """Arrays of equal rows, one after the other, in a file without a name.

    The system removes the file when the process ends, however it ends. A corpus has more clips than a process may map
    files, so their rows are copied into one.

    Args:
        folder: on the disk that takes the file; it or a folder above it exists. None: the system's temporary folder.

    Raises:
        SetupError: no file can be made there.
    """

    def __init__(self, folder: Path | None = None):
        self._folder = next((path for path in [folder, *folder.parents] if path.is_dir()), None) if folder else None
        self._shape: tuple[int, ...] = ()
        self._type: np.dtype[Any] | None = None
        self._count = 0
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder, prefix=".rows-")  # noqa: SIM115 - closed by the map
        except OSError as error:
            raise self._error(error) from error

    def append(self, rows: np.ndarray) -> int:
        """Adds rows [n, …] and returns the index of the first. The first rows decide the shape and the type.

        Raises:
            ValueError: rows of another shape.
            SetupError: the disk is full.
        """
        first = self._count
        if self._type is None:
            self._shape, self._type = rows.shape[1:], rows.dtype
        if rows.shape[1:] != self._shape:
            raise ValueError(f"rows of shape {rows.shape[1:]} after rows of {self._shape}")
        try:
            self._file.write(np.ascontiguousarray(rows, self._type).tobytes())
        except OSError as error:
            raise self._error(error) from error
        self._count += len(rows)
        return first

    def map(self) -> np.ndarray:
        """All rows [N, …], memory-mapped and read-only.

        Raises:
            SetupError: the disk is full.
        """
        try:
            self._file.flush()
        except OSError as error:
            raise self._error(error) from error
        if not self._count or 0 in self._shape:  # an empty file cannot be mapped
            return np.zeros((self._count, *self._shape), self._type or np.float32)
        shape = (self._count, *self._shape)
        return np.memmap(self._file, self._type, "r", shape=shape).view(np.ndarray)  # type: ignore[call-overload]

    def _error(self, error: OSError) -> Exception:
        return write_error(self._folder or Path(tempfile.gettempdir()), error)
