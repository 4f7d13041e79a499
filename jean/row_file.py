"""Long arrays in an unnamed file, so that they take no memory of the process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jean.files import write_error

BLOCK = 4096  # rows that ``in_blocks`` computes at once
IN_MEMORY = 1 << 23  # bytes of rows that are gathered in memory: two minutes of sound


def gather_rows(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """The concatenation of at least one block [n, …]; memory-mapped from an unnamed file if it is long.

    Raises:
        SetupError: the disk is full.
    """
    return gather_parts((block,) for block in blocks)[0]


def gather_parts(blocks: Iterable[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """As ``gather_rows``, for blocks of several arrays each."""
    gathered: list[_Gathered] = []
    for parts in blocks:
        gathered = gathered or [_Gathered() for _ in parts]
        for rows, part in zip(gathered, parts, strict=True):
            rows.append(part)
    return tuple(rows.all() for rows in gathered)


def in_blocks(function: Callable[..., np.ndarray], *tracks: np.ndarray) -> np.ndarray:
    """What a function of rows makes of long tracks, ``BLOCK`` rows at a time and in order, as ``gather_rows`` gives it.

    Args:
        function: takes n rows of each track and returns n rows; each row depends on its own input alone.
        tracks: of equal length [T, …].
    """
    return parts_in_blocks(lambda *rows: (function(*rows),), *tracks)[0]


def parts_in_blocks(function: Callable[..., tuple[np.ndarray, ...]], *tracks: np.ndarray) -> tuple[np.ndarray, ...]:
    """As ``in_blocks``, for a function that returns several arrays of n rows."""
    starts = range(0, max(len(tracks[0]), 1), BLOCK)
    return gather_parts(function(*(track[start : start + BLOCK] for track in tracks)) for start in starts)


class _Gathered:
    """Blocks of rows, in memory while they are few, and then in a file."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._bytes = 0
        self._file: RowFile | None = None

    def append(self, block: np.ndarray) -> None:
        self._blocks.append(block)
        self._bytes += block.nbytes
        if self._bytes > IN_MEMORY:
            self._file = self._file or RowFile()
            for each in self._blocks:
                self._file.append(each)
            self._blocks.clear()

    def all(self) -> np.ndarray:
        return np.concatenate(self._blocks) if self._file is None else self._file.map(writable=True)


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

    def map(self, writable: bool = False) -> np.ndarray:
        """All rows [N, …], memory-mapped.

        Args:
            writable: whether changes of the array are allowed; they go to the file.

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
        mode: Any = "r+" if writable else "r"  # not "c": private pages count as memory of the process
        return np.memmap(self._file, self._type, mode, shape=shape).view(np.ndarray)  # type: ignore[call-overload,arg-type]

    def _error(self, error: OSError) -> Exception:
        return write_error(self._folder or Path(tempfile.gettempdir()), error)
