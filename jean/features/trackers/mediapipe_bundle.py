"""Reads the canonical face out of MediaPipe's ``face_landmarker.task``.

The bundle is a zip archive. Its geometry metadata is one protobuf message whose field 1 is the mesh;
the mesh's field 3 repeats floats, five a vertex: x, y, z in centimetres, then two texture coordinates.
The library keeps this to itself, so the few bytes of wire format are read here.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jean.errors import ArtefactError

METADATA = "geometry_pipeline_metadata_landmarks.binarypb"
MESH_FIELD, VERTEX_FIELD, FLOATS_A_VERTEX = 1, 3, 5
MESH_POINTS = 468


def canonical_face(bundle: Path) -> np.ndarray:
    """float32 [468, 3]: the canonical mesh in head space, cm.

    MediaPipe's axes (y up, z towards the viewer) are turned into OpenCV's (y down, z away).

    Raises:
        ArtefactError: the file is no such bundle.
    """
    try:
        with zipfile.ZipFile(bundle) as archive:
            message = archive.read(METADATA)
        mesh = b"".join(value for field, value in _fields(message) if field == MESH_FIELD)
        raw = b"".join(value for field, value in _fields(mesh) if field == VERTEX_FIELD)
        vertices = np.frombuffer(raw, "<f4").reshape(-1, FLOATS_A_VERTEX)[:, :3]
    except (OSError, KeyError, ValueError, IndexError, zipfile.BadZipFile, struct.error) as error:
        raise ArtefactError(
            f"{bundle} holds no canonical face ({type(error).__name__}).", "Run: jean models pull face_landmarker.task"
        ) from error
    if len(vertices) != MESH_POINTS:
        raise ArtefactError(
            f"the canonical face in {bundle} has {len(vertices)} points, not {MESH_POINTS}.",
            "Run: jean models pull face_landmarker.task",
        )
    return vertices * np.array([1.0, -1.0, -1.0], np.float32)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """(field number, raw value) of each field of a protobuf message; varints give empty bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        field, wire = key >> 3, key & 7
        if wire == 0:
            _, at = _varint(message, at)
            yield field, b""
            continue
        if wire == 2:
            size, at = _varint(message, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(message):
            raise ValueError("cut short")
        yield field, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("varint too long")
