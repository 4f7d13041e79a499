"""Reads the constants of a frozen TensorFlow graph without TensorFlow.

A frozen graph is a GraphDef message in protobuf's wire format. Field numbers used here: node 1 of the graph; name 1,
operation 2 and attribute 5 of a node; tensor 8 of the attribute ``value``; type 1, shape 2, content 4 and single
floats 5 of a tensor.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jean.errors import ArtefactError
from jean.features.protobuf import as_bytes, fields

_TYPES: dict[int, type[np.generic]] = {1: np.float32, 3: np.int32, 9: np.int64}  # DT_FLOAT, DT_INT32, DT_INT64


def read_constants(path: Path) -> dict[str, np.ndarray]:
    """Reads every numeric constant of a frozen graph.

    Args:
        path: the ``.pb`` file.

    Returns:
        Arrays by the name of their node.

    Raises:
        ArtefactError: the file cannot be read, or is not such a graph.
    """
    constants = {}
    try:
        for number, node in fields(memoryview(Path(path).read_bytes())):
            if number == 1 and isinstance(node, memoryview):
                name, operation, tensor = _node(node)
                if operation == "Const" and tensor is not None and (array := _array(tensor)) is not None:
                    constants[name] = array
    except (OSError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise ArtefactError(
            f"{path} is not a TensorFlow graph ({type(error).__name__}).", "Download it again."
        ) from error
    if not constants:
        raise ArtefactError(f"{path} holds no constants.", "Give a frozen graph (.pb).")
    return constants


def _node(node: memoryview) -> tuple[str, str, memoryview | None]:
    """Name, operation, and the tensor of the attribute ``value``."""
    name = operation = ""
    tensor = None
    for number, value in fields(node):
        if number == 1:
            name = bytes(as_bytes(value)).decode()
        elif number == 2:
            operation = bytes(as_bytes(value)).decode()
        elif number == 5:
            entry = dict(fields(as_bytes(value)))
            if bytes(as_bytes(entry[1])) == b"value":
                tensor = next((as_bytes(v) for n, v in fields(as_bytes(entry[2])) if n == 8), None)
    return name, operation, tensor


def _array(tensor: memoryview) -> np.ndarray | None:
    """The values of a TensorProto message; None for a type outside ``_TYPES``."""
    type_number, content = 0, None
    shape: list[int] = []
    floats: list[np.ndarray] = []
    for number, value in fields(tensor):
        if number == 1:
            type_number = value if isinstance(value, int) else 0
        elif number == 2:
            sizes = [dict(fields(as_bytes(axis))) for n, axis in fields(as_bytes(value)) if n == 2]
            shape = [int(size.get(1, 0)) for size in sizes]
        elif number == 4:
            content = as_bytes(value)
        elif number == 5:  # packed or one by one, four bytes each
            floats.append(np.frombuffer(as_bytes(value), "<f4"))
    if type_number not in _TYPES:
        return None
    dtype = np.dtype(_TYPES[type_number])
    if content is not None:
        return np.frombuffer(content, dtype.newbyteorder("<")).reshape(shape).astype(dtype)
    if floats:
        values = np.concatenate(floats)
        # a single value fills the whole tensor
        return (np.full(shape, values[0]) if len(values) == 1 else values.reshape(shape)).astype(np.float32)
    return None
