"""Reading protobuf's wire format, against the protobuf library where it is installed."""

from __future__ import annotations

import pytest

from jean.features.protobuf import as_bytes, fields, joined


def test_fields_of_a_message_written_by_hand() -> None:
    # field 1 varint 300; field 2 bytes "hi"; field 3 fixed32; field 2 again
    message = memoryview(bytes([0x08, 0xAC, 0x02, 0x12, 2]) + b"hi" + bytes([0x1D, 1, 2, 3, 4, 0x12, 1]) + b"!")
    values = [(number, value if isinstance(value, int) else bytes(value)) for number, value in fields(message)]
    assert values == [(1, 300), (2, b"hi"), (3, bytes([1, 2, 3, 4])), (2, b"!")]
    assert bytes(joined(message, 2)) == b"hi!"


@pytest.mark.parametrize("message", [b"\x12\x05hi", b"\x0b", b"\x08" + b"\xff" * 10 + b"\x01", b"\x08\x80"])
def test_malformed_messages_raise(message: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        list(fields(memoryview(message)))


def test_an_integer_is_not_accepted_as_bytes() -> None:
    with pytest.raises(ValueError, match="integer"):
        as_bytes(3)


def test_agrees_with_the_protobuf_library() -> None:
    pb = pytest.importorskip("google.protobuf.struct_pb2")
    value = pb.ListValue(values=[pb.Value(string_value="ü" * 200), pb.Value(number_value=2.5)])
    first, second = (as_bytes(value) for _, value in fields(memoryview(value.SerializeToString())))
    assert [(number, bytes(as_bytes(text)).decode()) for number, text in fields(first)] == [(3, "ü" * 200)]
    assert [number for number, _ in fields(second)] == [2]
