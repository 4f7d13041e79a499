"""Files: atomic writing, JSON, hashes and folder locks."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

from jean.errors import ArtefactError, InputError, SetupError


@contextmanager
def atomic_path(path: Path, before_rename: Callable[[Path], None] = lambda temporary: None) -> Iterator[Path]:
    """Writes a file atomically: yields a temporary path, then syncs it to the disk and renames it to ``path``.

    The folder is created if necessary. After an exception the temporary file is removed and ``path`` keeps its
    old content.

    Args:
        path: the file.
        before_rename: called with the complete temporary file; after an exception in it, nothing is renamed.

    Yields:
        A path in the same folder with the same suffix.

    Raises:
        SetupError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        before_rename(temporary)
        os.replace(temporary, path)
        _fsync_folder(path.parent)
    except Exception as error:
        if (system_error := _system_error(error)) is None:
            raise
        raise write_error(path, system_error) from error
    finally:
        with suppress(OSError):  # if the path is impossible there is nothing to remove, and the cause is being raised
            temporary.unlink()


def _system_error(error: Exception) -> OSError | None:
    """The error of the operating system behind ``error``; None if there is none.

    Libraries written in Rust report it only in the text of their exceptions.
    """
    if isinstance(error, OSError):
        return error
    match = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(match[1]), os.strerror(int(match[1]))) if match else None


def write_error(path: Path, error: OSError) -> SetupError:
    """The error to raise when ``path`` cannot be written."""
    return SetupError(f"cannot write {path}: {error.strerror or error}.", "Free some space or choose another --output.")


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot sync a folder; the file is in place nevertheless.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` to a file as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` to a file as indented JSON, atomically.

    Raises:
        ValueError: it contains NaN or infinity; see ``plain``.
        SetupError: the file cannot be written.
    """
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def plain(
    value: Any, *, path: Callable[[Path], Any] = str, non_finite: Callable[[float], Any] = lambda number: None
) -> Any:
    """Converts ``value`` to what JSON can hold.

    Mappings get text keys; tuples and numpy arrays become lists, numpy scalars Python numbers; sets are sorted.

    Args:
        value: nested mappings, sequences, sets, paths, numbers, text and None.
        path: converts a path; by default to its text.
        non_finite: converts NaN and infinity; by default to None.

    Raises:
        TypeError: a value of another type.

    Example:
        >>> plain({1: (2.5, float("nan")), "file": Path("a/b.wav")})
        {'1': [2.5, None], 'file': 'a/b.wav'}
    """

    def convert(item: Any) -> Any:
        if isinstance(item, Mapping):
            return {str(key): convert(each) for key, each in item.items()}
        if isinstance(item, (list, tuple)):
            return [convert(each) for each in item]
        if isinstance(item, (set, frozenset)):
            return sorted((convert(each) for each in item), key=str)
        if isinstance(item, Path):
            return path(item)
        if hasattr(item, "tolist"):  # a numpy array or scalar; numpy is not imported here
            return convert(item.tolist())
        if isinstance(item, float):
            return item if math.isfinite(item) else non_finite(item)
        if item is None or isinstance(item, (bool, int, str)):
            return item
        raise TypeError(f"JSON cannot hold {type(item).__name__}: {item!r:.80}")

    return convert(value)


# Types of safetensors in the order in which the format's library stores tensors: the widest first
_SAFETENSORS_TYPES = {
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
    "float32": "F32",
    "uint32": "U32",
    "int32": "I32",
    "bfloat16": "BF16",
    "float16": "F16",
    "uint16": "U16",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}


def write_safetensors(path: Path, tensors: Mapping[str, Any], metadata: dict[str, str] | None = None) -> str:
    """Writes numpy arrays or torch tensors as a safetensors file, atomically.

    The bytes are those of the format's own library, which is not used here: it holds all tensors twice more in memory,
    ends the process where that fails, and makes files that only their owner can read.

    Args:
        path: the file.
        tensors: numpy arrays, or torch tensors, by name.
        metadata: text to store in the header.

    Returns:
        Hex sha256 of the file.

    Raises:
        SetupError: the file cannot be written.
    """
    facts = {
        name: (str(value.dtype).removeprefix("torch."), value.shape, value.nbytes) for name, value in tensors.items()
    }
    header, begins = safetensors_header(facts, metadata)
    digest = hashlib.sha256()
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        parts: Iterator[memoryview] = (_bytes_of(tensors[name]) for name in begins)
        for part in chain([memoryview(header)], parts):
            file.write(part)
            digest.update(part)
    return digest.hexdigest()


def safetensors_header(
    tensors: Mapping[str, tuple[str, Sequence[int], int]], metadata: Mapping[str, str] | None = None
) -> tuple[bytes, dict[str, int]]:
    """The bytes before the tensors of a safetensors file, and where each tensor begins after them, in their order.

    Args:
        tensors: type (as numpy and torch name it), shape and number of bytes of each tensor by name.
        metadata: text to store.
    """
    kinds = list(_SAFETENSORS_TYPES)
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata is not None else {}
    begins, end = {}, 0
    for name in sorted(tensors, key=lambda name: (kinds.index(tensors[name][0]), name)):
        kind, shape, size = tensors[name]
        begins[name], end = end, end + size
        header[name] = {
            "dtype": _SAFETENSORS_TYPES[kind],
            "shape": list(shape),
            "data_offsets": [begins[name], end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, begins


def _bytes_of(value: Any) -> memoryview:
    """The bytes of an array or a tensor in C order; little-endian, as on every machine that torch supports."""
    if hasattr(value, "detach"):
        import torch

        value = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    else:
        import numpy as np

        value = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    return memoryview(value)


def read_json(path: Path) -> Any:
    """Reads a JSON file that a command has written.

    Raises:
        ArtefactError: it is missing, unreadable, or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtefactError(
            f"{path} is missing or damaged ({type(error).__name__}).", "Run the command that writes it again."
        ) from error


def exists(path: Path) -> bool:
    """Whether ``path`` exists; a text that cannot be a path, because it is too long for example, does not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def refuse_url(path: str | Path) -> None:
    """Refuses a web address in place of a file.

    Raises:
        InputError: ``path`` is one; as a ``Path``, it has lost one of its slashes.
    """
    if match := re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/+", str(path)):
        address = f"{match[1]}://{str(path)[match.end() :]}"
        raise InputError(f"{address} is a web address.", "Download the file first, and give its path.")


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file, read in blocks.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


# What ``atomic_path`` leaves behind after SIGKILL. A process number has at most seven digits.
_PARTIAL = re.compile(r"\.(?P<name>.+)\.\d{1,7}\.partial(\.[^.]*)?")


def sweep(folder: Path, name: str | None = None) -> None:
    """Removes what killed processes have left of unfinished files in ``folder``, not in folders below it.

    Only the process that holds the lock under which these files are written may call it.

    Args:
        folder: where to look.
        name: of the finished file or folder; None for all.
    """
    with suppress(OSError):  # whoever writes to the folder reports what is wrong with it
        for path in folder.iterdir():
            match = _PARTIAL.fullmatch(path.name)
            if match is None or name not in (None, match["name"]):
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def check_writable(folder: Path) -> None:
    """Checks that files can be written to ``folder``, creating it if necessary, before any long work.

    Raises:
        SetupError: ``folder`` cannot be created or written.
    """
    folder = Path(folder)
    probe = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
    except OSError as error:
        raise write_error(folder, error) from error
    finally:
        with suppress(OSError):  # on a full disk the file is created but stays empty
            probe.unlink()


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Holds an exclusive lock on ``folder``; the operating system releases it when the process ends.

    Unfinished files of killed processes are removed from the folder first, see ``sweep``.

    Raises:
        SetupError: another process holds the lock, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    check_writable(folder)
    lock = FileLock(str(Path(folder) / ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise SetupError(
            f"{folder} is in use by another jean process.", "Wait for it, or choose another --output."
        ) from error
    except OSError as error:
        raise write_error(Path(folder) / ".lock", error) from error
    try:
        sweep(Path(folder))
        yield
    finally:
        lock.release()
