"""Files that are either whole or absent: atomic writes, hashes, folder locks."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jean.errors import ArtefactError, SetupError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; on success it is fsynced and renamed over it.

    Raises:
        SetupError: the folder cannot be written or the disk is full; ``path`` keeps its
            old content.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        _fsync_folder(path.parent)
    except Exception as error:
        if (refused := _system_error(error)) is None:
            raise
        raise write_error(path, refused) from error
    finally:
        with suppress(OSError):  # a path that cannot be has nothing to clean up, and its reason is on its way
            temporary.unlink()


def _system_error(error: Exception) -> OSError | None:
    """The refusal of the operating system that ``error`` is or, from a library written in Rust, tells of."""
    if isinstance(error, OSError):
        return error
    told = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(told[1]), os.strerror(int(told[1]))) if told else None


def write_error(path: Path, error: OSError) -> SetupError:
    """The one-line error for a failed write."""
    return SetupError(f"cannot write {path}: {error.strerror or error}.", "Free some space or choose another --output.")


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot sync a folder; the file is in its place all the same.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON artefact.

    Raises:
        ArtefactError: missing, unreadable, or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtefactError(f"{path} is missing or damaged ({type(error).__name__}).", "Make it again.") from error


def sha256(path: Path) -> str:
    """Hex sha256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_writable(folder: Path) -> None:
    """Fails now rather than after an hour of work.

    Raises:
        SetupError: ``folder`` cannot be made or written.
    """
    folder = Path(folder)
    probe = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
    except OSError as error:
        raise write_error(folder, error) from error
    finally:
        with suppress(OSError):  # a full disk takes the name, but not the byte
            probe.unlink()


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Holds an exclusive lock on ``folder``; it dies with the process.

    Raises:
        SetupError: another process holds it, or the folder cannot be written.
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
        yield
    finally:
        lock.release()
