"""Safetensors files whose arrays are written piece by piece, so that none has to be whole in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from jean.files import atomic_path, safetensors_header

if TYPE_CHECKING:
    import numpy as np

Shapes = Mapping[str, "tuple[np.dtype, tuple[int, ...]]"]  # type and shape of each array by name


class TensorFile:
    """An open file of arrays, whose values are zeros until they are written.

    Args:
        handle: the file, empty.
        shapes: type and shape of each array by name; native byte order.
    """

    def __init__(self, handle: IO[bytes], shapes: Shapes):
        self._handle, self._shapes = handle, dict(shapes)
        sizes = {name: dtype.itemsize * math.prod(shape) for name, (dtype, shape) in shapes.items()}
        facts = {name: (dtype.name, shape, sizes[name]) for name, (dtype, shape) in shapes.items()}
        header, self._offsets = safetensors_header(facts)
        handle.write(header)
        self._start = len(header)
        handle.truncate(self._start + sum(sizes.values()))

    def write(self, name: str, rows: np.ndarray, first: int = 0) -> None:
        """Writes rows [n, …] of an array, from row ``first`` on; they are converted to the array's type."""
        import numpy as np

        dtype, shape = self._shapes[name]
        values = np.ascontiguousarray(rows, dtype)
        if values.shape[1:] != shape[1:] or first + len(values) > shape[0]:
            raise ValueError(f"rows {values.shape} from {first} on do not fit into {name} {shape}")
        row_bytes = values.nbytes // max(1, len(values))
        self._handle.seek(self._start + self._offsets[name] + first * row_bytes)
        self._handle.write(values.data)


@contextmanager
def tensor_file(path: Path, shapes: Shapes) -> Iterator[TensorFile]:
    """Opens a safetensors file for writing; it is complete or absent afterwards.

    Args:
        path: the file.
        shapes: type and shape of each array by name.

    Raises:
        SetupError: the file cannot be written.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        yield TensorFile(handle, shapes)
