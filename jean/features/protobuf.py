"""Reads the wire format of protocol buffers.

The few messages that the project reads (a TensorFlow graph, the mesh in a MediaPipe bundle) have no published
Python classes without TensorFlow or MediaPipe's internals, so their fields are read by number.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED_64, LENGTH_DELIMITED, FIXED_32 = 0, 1, 2, 5  # wire types
MAX_SHIFT = 63  # a varint holds at most 64 bits


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yields (field number, value) for each field of a message, in the order of the file.

    Values of varint fields are integers; all others are the raw bytes (nested messages, strings, packed or
    fixed-size numbers).

    Raises:
        ValueError: the message is cut short or malformed.
        IndexError: it ends within a varint.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire_type == LENGTH_DELIMITED:
            size, at = _varint(message, at)
        elif wire_type in (FIXED_64, FIXED_32):
            size = 8 if wire_type == FIXED_64 else 4
        else:
            raise ValueError(f"wire type {wire_type}")
        if at + size > len(message):
            raise ValueError("cut short")
        yield number, message[at : at + size]
        at += size


def as_bytes(value: int | memoryview) -> memoryview:
    """The value of a field that must hold bytes.

    Raises:
        ValueError: it holds an integer.
    """
    if isinstance(value, int):
        raise ValueError("an integer where bytes are expected")
    return value


def joined(message: memoryview, number: int) -> memoryview:
    """The bytes of all fields with this number, concatenated: a repeated field of packed numbers, for example.

    Raises:
        ValueError, IndexError: as ``fields``.
    """
    return memoryview(b"".join(as_bytes(value) for field, value in fields(message) if field == number))


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The integer that starts at byte ``at``, and the position after it."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > MAX_SHIFT:
            raise ValueError("a varint of more than 64 bits")
