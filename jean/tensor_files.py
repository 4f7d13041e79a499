"""Writing safetensors files that are larger than what should be in memory."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jean.files import atomic_path


def write_safetensors_in_pieces(
    path: Path, shapes: Mapping[str, tuple[int, ...]], pieces: Callable[[str], Iterable[np.ndarray]]
) -> str:
    """Writes float32 arrays piece by piece, atomically, with the bytes that ``write_safetensors`` would write.

    Args:
        path: the file.
        shapes: shape of each array.
        pieces: gives the rows of an array in order, as an iterable of float32 arrays.

    Returns:
        Hex sha256 of the file.

    Raises:
        ValueError: the pieces of an array do not have its size.
        SetupError: the file cannot be written.
    """
    header: dict[str, dict[str, Any]] = {}
    end = 0
    for name in sorted(shapes):
        start, end = end, end + 4 * math.prod(shapes[name])
        header[name] = {"dtype": "F32", "shape": list(shapes[name]), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with atomic_path(path) as temporary, open(temporary, "wb") as file:

        def write(content: bytes) -> None:
            digest.update(content)
            file.write(content)

        write(len(text).to_bytes(8, "little") + text)
        for name, facts in header.items():
            first, last = facts["data_offsets"]
            for piece in pieces(name):
                content = np.ascontiguousarray(piece, "<f4").tobytes()
                write(content)
                first += len(content)
            if first != last:
                raise ValueError(f"the pieces of {name} do not have the shape {shapes[name]}")
    return digest.hexdigest()
