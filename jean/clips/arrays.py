"""The arrays of a clip: names, shapes, and the checks that reading and writing share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jean.errors import ArtefactError
from jean.geometry import is_rigid

if TYPE_CHECKING:
    from jean.clips.meta import ClipMeta

# name: (shape with T frames and E expression coefficients, meaning)
ARRAYS = {
    "times_s": ("T", "presentation time of each frame, seconds from the start of the video"),
    "valid": ("T", "bool: the chosen face was found in this frame"),
    "landmarks": ("T,68,2", "iBUG-68 points, px of the crop, (x, y); NaN where not valid"),
    "irises": ("T,2,2", "iris centres (subject's right, left), px of the crop; NaN where unknown"),
    "camera_to_world": ("T,4,4", "fitted head pose; interpolated where not valid"),
    "tracker_camera_to_world": ("T,4,4", "the tracker's own pose; NaN where it gives none"),
    "shape": ("68,3", "the fitted rigid head shape, head space, cm"),
    "expression": ("T,E", "expression coefficients; interpolated where not valid"),
}
_BLOCK = 4096  # frames that are checked at once
_PRECISE = ("times_s", "camera_to_world", "tracker_camera_to_world")  # written as float64
_MAY_BE_NAN = ("landmarks", "irises", "tracker_camera_to_world")

_FLOATS = ("F16", "F32", "F64")  # names of safetensors
_TYPES: dict[str, Any] = {
    "BOOL": np.dtype(bool),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
_TYPES |= {f"{kind}{8 * size}": np.dtype(f"<{kind.lower()}{size}") for kind in "IU" for size in (1, 2, 4, 8)}

Header = dict[str, tuple[str, tuple[int, ...]]]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a safetensors file.

    Raises:
        ArtefactError: missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(str(path))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ArtefactError(f"{path} is missing or damaged.", "Prepare it again.") from error


def map_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a safetensors file, read-only and memory-mapped, so that they take no memory of the process.

    Raises:
        ArtefactError: missing, damaged, or with a type that numpy lacks.
    """
    header = read_header(path)
    try:
        with open(path, "rb") as file:
            start = 8 + int.from_bytes(file.read(8), "little")
            places = json.loads(file.read(start - 8))
        arrays = {}
        for name, (dtype, shape) in header.items():
            offset, _ = places[name]["data_offsets"]
            if 0 in shape:
                arrays[name] = np.zeros(shape, _TYPES[dtype])
            else:
                arrays[name] = np.memmap(path, _TYPES[dtype], "r", start + offset, shape).view(np.ndarray)
        return arrays
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ArtefactError(f"{path} is missing or damaged.", "Prepare it again.") from error


def read_header(path: Path) -> Header:
    """Type and shape of each array of a safetensors file, by name; the values are not read.

    Raises:
        ArtefactError: missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no iterator
            return {name: (piece.get_dtype(), tuple(piece.get_shape())) for name, piece in slices.items()}
    except (OSError, SafetensorError) as error:
        raise ArtefactError(f"{path} is missing or damaged.", "Prepare it again.") from error


def array_shapes(frames: int, coefficients: int) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Type and shape of each of ``ARRAYS`` in a clip of T frames and E expression coefficients."""
    sizes = {"T": frames, "E": coefficients}
    return {
        name: (
            np.dtype(bool) if name == "valid" else np.dtype(np.float64 if name in _PRECISE else np.float32),
            tuple(sizes[part] if part in sizes else int(part) for part in dimensions.split(",")),
        )
        for name, (dimensions, _) in ARRAYS.items()
    }


def check_arrays(path: Path, arrays: Mapping[str, np.ndarray], meta: ClipMeta) -> None:
    """Checks names, shapes, types and values of the per-frame arrays.

    Args:
        path: the file, for messages.
        arrays: arrays by name, see ``ARRAYS``.
        meta: metadata of the clip.

    Raises:
        ArtefactError: names the first array that is wrong.
    """
    # The demo's earlier clips of the ground truth list no files, and name the coefficients of another tracker.
    coefficients = len(meta.expression.names) if meta.files else np.shape(arrays.get("expression", ()))[-1]
    for name, (_, shape) in array_shapes(meta.frames, coefficients).items():
        if name not in arrays:
            raise _wrong(path, f"holds no {name}")
        array = arrays[name]
        if array.shape != shape:
            raise _wrong(path, f"{name} has shape {list(array.shape)} instead of {list(shape)}")
        if array.dtype.kind != ("b" if name == "valid" else "f"):
            raise _wrong(path, f"{name} has type {array.dtype}")
        for rows in _blocks(len(array)):
            if np.isinf(array[rows]).any() if name in _MAY_BE_NAN else not np.isfinite(array[rows]).all():
                raise _wrong(path, f"{name} holds values that are not finite")
    if (np.diff(arrays["times_s"]) <= 0).any():
        raise _wrong(path, "times_s does not increase")
    for rows in _blocks(meta.frames):
        if not np.isfinite(arrays["landmarks"][rows][arrays["valid"][rows]]).all():
            raise _wrong(path, "landmarks of a valid frame are not finite")
        if not is_rigid(arrays["camera_to_world"][rows]):
            raise _wrong(path, "camera_to_world holds a matrix that is not a rigid pose")


def _blocks(count: int) -> Iterator[slice]:
    """Blocks of ``count`` rows: what a check computes of a long clip must not fill the memory."""
    for first in range(0, count, _BLOCK):
        yield slice(first, min(first + _BLOCK, count))


def check_features(path: Path, shapes: Mapping[str, tuple[int, ...]], frames: int) -> None:
    """Checks names, shapes and types of a file of features, which may be absent if no features are named.

    Args:
        path: the file.
        shapes: shape per frame of each array that the metadata names.
        frames: T.

    Raises:
        ArtefactError: names the first array that is wrong.
    """
    header = read_header(path) if path.is_file() else {}
    if set(header) != set(shapes):
        name = min(set(header) ^ set(shapes))
        raise _wrong(path, f"{name} is {'not in clip.json' if name in header else 'missing'}")
    for name, (dtype, shape) in header.items():
        if shape != (frames, *shapes[name]):
            raise _wrong(path, f"{name} has shape {list(shape)} instead of {[frames, *shapes[name]]}")
        if dtype not in _FLOATS:
            raise _wrong(path, f"{name} has type {dtype}")


def check_audio(path: Path, shapes: Mapping[str, tuple[int, int]], frames: int) -> None:
    """Checks names, shapes and types of the rows of audio features, and of the first row of each window.

    Args:
        path: the file, which may be absent if no features are named.
        shapes: (window, D) of each extractor that the metadata names.
        frames: T.

    Raises:
        ArtefactError: names the first array that is wrong.
    """
    header = read_header(path) if path.is_file() else {}
    names = {*shapes, *map(first_of, shapes)}
    if set(header) != names:
        name = min(set(header) ^ names)
        raise _wrong(path, f"{name} is {'not in clip.json' if name in header else 'missing'}")
    for name, (_, width) in shapes.items():
        dtype, shape = header[name]
        if len(shape) != 2 or shape[0] < 1 or shape[1] != width:
            raise _wrong(path, f"{name} has shape {list(shape)} instead of [N, {width}]")
        if dtype not in _FLOATS:
            raise _wrong(path, f"{name} has type {dtype}")
        dtype, shape = header[first_of(name)]
        if (dtype, shape) != ("I32", (frames,)):
            raise _wrong(path, f"{first_of(name)} has shape {list(shape)} and type {dtype}")


def first_of(name: str) -> str:
    """Name of the array that holds the first row of each window of the audio features ``name``."""
    return f"{name}.first"


def _wrong(path: Path, reason: str) -> ArtefactError:
    return ArtefactError(f"{path} is damaged: {reason}.", "Prepare it again.")
