"""Constants of a TensorFlow graph file, read from its bytes: neither TensorFlow nor a protobuf library is needed.

A frozen graph is a GraphDef in protobuf's wire format. Only what constants need is looked at: nodes (field 1),
their name (1), operation (2) and attributes (5), and in the attribute ``value`` the tensor (8) with its type (1),
shape (2) and content (4, or single numbers in 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jean.errors import ArtefactError

_TYPES = {1: np.float32, 3: np.int32, 9: np.int64}  # DT_FLOAT, DT_INT32, DT_INT64


def read_constants(path: Path) -> dict[str, np.ndarray]:
    """Every constant of numbers in a frozen graph, by the name of its node.

    Raises:
        ArtefactError: the file cannot be read, or is no such graph.
    """
    try:
        data = memoryview(Path(path).read_bytes())
        found = {}
        for number, node in _fields(data):
            if number == 1 and isinstance(node, memoryview):
                name, operation, tensor = _node(node)
                if operation == "Const" and tensor is not None and (array := _tensor(tensor)) is not None:
                    found[name] = array
    except (OSError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise ArtefactError(f"{path} is no graph of TensorFlow ({type(error).__name__}).", "Get it again.") from error
    if not found:
        raise ArtefactError(f"{path} holds no constants.", "Give a frozen graph (.pb).")
    return found


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of each field of a message: an int for numbers, bytes for everything with a length."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == 2:
            length, place = _varint(data, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if place + length > len(data):
            raise ValueError("cut short")
        yield number, data[place : place + length]
        place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where bytes should be")
    return value


def _node(node: memoryview) -> tuple[str, str, memoryview | None]:
    """Name, operation and the tensor of the attribute ``value``."""
    name = operation = ""
    tensor = None
    for number, value in _fields(node):
        if number == 1:
            name = bytes(_bytes(value)).decode()
        elif number == 2:
            operation = bytes(_bytes(value)).decode()
        elif number == 5:
            entry = dict(_fields(_bytes(value)))
            if bytes(_bytes(entry[1])) == b"value":
                tensor = next((_bytes(v) for n, v in _fields(_bytes(entry[2])) if n == 8), None)
    return name, operation, tensor


def _tensor(tensor: memoryview) -> np.ndarray | None:
    """The array; None for a type that is not read here."""
    dtype, shape, content, single = 0, [], None, []
    for number, value in _fields(tensor):
        if number == 1:
            dtype = value if isinstance(value, int) else 0
        elif number == 2:
            sizes = [dict(_fields(_bytes(dim))) for n, dim in _fields(_bytes(value)) if n == 2]
            shape = [int(size.get(1, 0)) for size in sizes]
        elif number == 4:
            content = _bytes(value)
        elif number == 5:  # packed or one by one, four bytes each
            single.append(np.frombuffer(_bytes(value), "<f4"))
    if dtype not in _TYPES:
        return None
    if content is not None:
        return np.frombuffer(content, np.dtype(_TYPES[dtype]).newbyteorder("<")).reshape(shape).astype(_TYPES[dtype])
    if single:
        values = np.concatenate(single)
        # one value stands for all of them
        return (np.full(shape, values[0]) if len(values) == 1 else values.reshape(shape)).astype(np.float32)
    return None
