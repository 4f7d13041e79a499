"""Integrity of stored files: sha256 computed once per content, and JSON documents that hold their own sha256."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jean.errors import ArtefactError
from jean.files import read_json, sha256, write_json

CACHE = ".verified.json"
SEAL = "sha256"  # key of a sealed document
# A file that was changed more recently may change again without another time stamp: file systems count in ticks.
_SETTLED_S = 0.1

_Stamp = tuple[int, int, int, int]
_seen: dict[tuple[int, _Stamp], str] = {}  # sha256 by device and stamp, for folders that cannot be written


class HashCache:
    """sha256 of the files below a folder. A file is read again only when its size, inode or a time stamp changes.

    The hashes are kept in the hidden file ``.verified.json`` of the folder, or only in memory where the folder cannot
    be written. The time of the last status change is compared too, so that a restored modification time is noticed.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._known = _read_cache(self.folder / CACHE)
        self._changed = False

    def sha256(self, name: str) -> str:
        """Hex sha256 of a file.

        Args:
            name: path of the file below the folder.

        Raises:
            OSError: it cannot be read.
        """
        path = self.folder / name
        stamp, device = _stamp(path)
        known = self._known.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        digest = _seen.get((device, stamp)) or sha256(path)
        self.put(name, digest)
        return digest

    def put(self, name: str, digest: str) -> None:
        """Notes the sha256 of a file that the caller has just read or written.

        Raises:
            OSError: the file does not exist.
        """
        stamp, device = _stamp(self.folder / name)
        if time.time() - max(stamp[2:]) / 1e9 < _SETTLED_S:
            return
        _seen[device, stamp] = digest
        self._known[name] = (stamp, digest)
        self._changed = True

    def save(self) -> None:
        """Stores the hashes. Where that is impossible, they are computed again next time."""
        if not self._changed:
            return
        path = self.folder / CACHE
        temporary = path.with_name(f"{CACHE}.{os.getpid()}.partial")
        known = {name: [*stamp, digest] for name, (stamp, digest) in self._known.items()}
        with suppress(OSError):  # a read-only folder or a full disk
            temporary.write_text(json.dumps(known), encoding="utf-8")
            os.replace(temporary, path)
        with suppress(OSError):
            temporary.unlink()
        self._changed = False


def _stamp(path: Path) -> tuple[_Stamp, int]:
    """Size, inode and the times of modification and of status change in ns; and the device."""
    status = path.stat()
    return (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns), status.st_dev


def _read_cache(path: Path) -> dict[str, tuple[_Stamp, str]]:
    """The stored hashes; none where the file is missing or damaged."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {name: ((int(row[0]), int(row[1]), int(row[2]), int(row[3])), str(row[4])) for name, row in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return {}


def content_facts(path: Path) -> dict[str, Any]:
    """Name, sha256 and size of a file, or of a folder: sha256 over the names and hashes of all files below it.

    Hidden files are left out: they are locks, caches and unfinished writes.

    Raises:
        OSError: ``path`` cannot be read.
    """
    if not path.is_dir():
        return {"name": path.name, "sha256": sha256(path), "bytes": path.stat().st_size}
    root = path.resolve()
    files = sorted(
        file
        for file in root.rglob("*")
        if file.is_file() and not any(part[0] == "." for part in file.relative_to(root).parts)
    )
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(root).as_posix()}\0{sha256(file)}\n".encode())
    size = sum(file.stat().st_size for file in files)
    return {"name": root.name, "sha256": digest.hexdigest(), "bytes": size, "files": len(files)}


def write_sealed(path: Path, document: Mapping[str, Any]) -> None:
    """Writes a JSON document with the sha256 of its content, atomically.

    Raises:
        ValueError: it contains NaN or infinity.
        SetupError: the file cannot be written.
    """
    write_json(path, {**document, SEAL: seal(document)})


def read_sealed(path: Path) -> dict[str, Any]:
    """Reads a document of ``write_sealed``, without the hash.

    Raises:
        ArtefactError: missing, not JSON, or changed after it was written.
    """
    document = read_json(path)
    if not isinstance(document, dict) or document.pop(SEAL, None) != seal(document):
        raise ArtefactError(f"{path} was changed after it was written.", "Run the command that writes it again.")
    return document


def seal(document: Mapping[str, Any]) -> str:
    """Hex sha256 of a JSON document; the order of the keys does not matter."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
