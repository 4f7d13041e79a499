"""Files behind web addresses (``s3://``, ``gs://``, ``file://`` …) through fsspec, for the workers of ``jean.jobs``.

Commands read and write local files only. A worker copies the inputs of a job to a folder of its own first, and the
results to their address afterwards; no other process handles their content.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jean.errors import InputError, JeanError, SetupError

_INSTALL = 'Run: pip install "jean[cluster]"'


def is_url(path: str) -> bool:
    """Whether a text is the address of a file, such as ``s3://bucket/name``.

    >>> is_url("s3://bucket/a.wav"), is_url("a.wav"), is_url("C:/a.wav")
    (True, False, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path) is not None


def address_of(path: Path) -> str | None:
    """The address that a ``Path`` was made from, which has taken one of its slashes; None if it is a local path.

    >>> address_of(Path("s3://bucket/out")), address_of(Path("out"))
    ('s3://bucket/out', None)
    """
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", str(path))
    if match is None:
        return None
    root = "/" if match[1] in ("file", "local") else ""  # their addresses have no host
    return f"{match[1]}://{root}{str(path)[match.end() :].lstrip('/')}"


def fetch(url: str, folder: Path) -> Path:
    """Copies a file, or a folder with all its files, into a local folder.

    Returns:
        The copy; it has the name that the address ends with.

    Raises:
        InputError: there is nothing at the address.
        SetupError: it cannot be read, or a package is missing.
    """
    files, path = _open(url)
    target = folder / path.rstrip("/").rsplit("/", 1)[-1]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if not files.exists(path):
            raise InputError(f"{url} does not exist.", "Check the address.")
        if files.isdir(path):
            target.mkdir(parents=True, exist_ok=True)
            for found in files.find(path):
                part = target / str(found)[len(path.rstrip("/")) :].lstrip("/")
                part.parent.mkdir(parents=True, exist_ok=True)
                files.get_file(found, str(part))
        else:
            files.get_file(path, str(target))
    except JeanError:
        raise
    except Exception as error:  # each kind of storage has its own
        raise _unusable(url, error) from error
    return target


def identity(url: str) -> str:
    """A text that changes with the content at an address: sizes and entity tags, without reading it.

    Raises:
        InputError: there is nothing at the address.
        SetupError: it cannot be read, or a package is missing.
    """
    files, path = _open(url)
    try:
        if not files.exists(path):
            raise InputError(f"{url} does not exist.", "Check the address.")
        found = sorted(files.find(path)) if files.isdir(path) else [path]
        return " ".join(str(files.checksum(each)) for each in found)
    except JeanError:
        raise
    except Exception as error:
        raise _unusable(url, error) from error


def publish(folder: Path, url: str) -> dict[str, int]:
    """Copies all files of a local folder to an address, with the folders that they lie in.

    Returns:
        The size of each file in bytes, by its place below the address.

    Raises:
        SetupError: the address cannot be written, or a package is missing.
    """
    files, path = _open(url)
    sizes = {}
    try:
        for local in sorted(each for each in folder.rglob("*") if each.is_file() and each.name != ".lock"):
            place = local.relative_to(folder).as_posix()
            target = f"{path.rstrip('/')}/{place}"
            files.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
            files.put_file(str(local), target)
            sizes[place] = local.stat().st_size
    except Exception as error:
        raise _unusable(url, error) from error
    return sizes


def read_bytes(url: str) -> bytes | None:
    """The content of a small file at an address; None if there is none."""
    files, path = _open(url)
    try:
        return bytes(files.cat_file(path)) if files.exists(path) else None
    except Exception as error:
        raise _unusable(url, error) from error


def size_of(url: str) -> int | None:
    """Size of a file at an address in bytes; None if there is none."""
    files, path = _open(url)
    try:
        return int(files.size(path)) if files.exists(path) else None
    except Exception as error:
        raise _unusable(url, error) from error


def write_bytes(url: str, content: bytes) -> None:
    """Writes a small file to an address."""
    files, path = _open(url)
    try:
        files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        files.pipe_file(path, content)
    except Exception as error:
        raise _unusable(url, error) from error


def _open(url: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    try:
        import fsspec
    except ImportError as error:
        raise SetupError("the package fsspec is missing.", _INSTALL) from error
    try:
        files, path = fsspec.core.url_to_fs(url)
    except ImportError as error:  # s3fs, gcsfs …
        raise SetupError(f"{url} needs another package: {error}.", "Install it on every machine.") from error
    except ValueError as error:
        raise InputError(f"{url} is no address of a file: {error}.", "For example: s3://bucket/speech.wav") from error
    return files, str(path)


def _unusable(url: str, error: Exception) -> SetupError:
    reason = str(error).strip().splitlines()
    return SetupError(
        f"{url} cannot be used ({type(error).__name__}: {reason[0] if reason else 'no reason given'}).",
        "Check the address and the permissions of the workers.",
    )
