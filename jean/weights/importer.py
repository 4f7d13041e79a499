"""Imports weights from a folder, for machines without internet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jean.errors import InputError
from jean.files import folder_lock
from jean.progress import Progress, Silent
from jean.weights import store as weights
from jean.weights.download import extract, install, write_error


def import_from(source: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Copies all registered files in a folder and its subfolders into the first of ``weights.folders()``.

    Files are recognised by name, zip archives by the name in their URL, wheels by their file name. Files with another
    content than the registered one are not copied.

    Args:
        source: the folder.
        progress: receives one line per imported file.

    Returns:
        ``imported`` and ``there`` (already present) map names to paths, ``wrong`` maps paths to what is wrong.

    Raises:
        InputError: ``source`` is not a folder, or holds no registered file.
        SetupError: the folder of weights cannot be written or is locked.
    """
    progress = progress or Silent()
    source = Path(source)
    if not source.is_dir():
        raise InputError(f"{source} is not a folder.", "Give a folder that holds weights.")
    result: dict[str, Any] = {"imported": {}, "there": {}, "wrong": {}}
    folder = weights.writable_folder()
    with folder_lock(folder):
        for name, item in weights.register().items():
            candidates = _candidates(source, item)
            present = weights.locate(name)
            if candidates and present is not None and not weights.mismatch(present, item):
                result["there"][name] = present
                continue
            for path, member in candidates:
                reason = _import_file(path, member, folder / name, item)
                if not reason:
                    result["imported"][name] = folder / name
                    progress.say(f"{name}: imported. Licence: {item.licence}.")
                    break
                result["wrong"][str(path)] = reason
    if not any(result.values()):
        raise InputError(
            f"{source} holds no weights that jean knows.", f"Registered names: {', '.join(weights.register())}."
        )
    return result


def _candidates(source: Path, item: weights.Weights) -> list[tuple[Path, str]]:
    """Files below ``source`` that may be these weights, as (path, member of the archive or an empty string)."""
    members = {Path(item.name).name: ""}
    for url in item.urls:
        address, _, member = url.partition("#")
        if member:
            members[address.rsplit("/", 1)[1]] = member
    members |= {wheel.file: wheel.member for wheel in item.wheels}
    files = [path for path in sorted(source.rglob("*")) if path.name in members and path.is_file()]
    # many models have a file such as config.json, so the name of its folder must match too
    parent = Path(item.name).parent.name
    return [(path, members[path.name]) for path in files if not parent or path.parent.name == parent]


def _import_file(path: Path, member: str, target: Path, item: weights.Weights) -> str:
    """Copies one file to ``target`` if its content is right; returns an empty string, or what is wrong with it."""
    target.parent.mkdir(exist_ok=True)
    partial_file = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        reason = extract(path, member, partial_file, item.bytes) if member else _copy(path, partial_file)
        reason = reason or weights.mismatch(partial_file, item)
        if not reason:
            install(partial_file, target)
            if not item.has_sha256:
                weights.record(target, item.name)
        return reason
    finally:
        partial_file.unlink(missing_ok=True)


def _copy(path: Path, target: Path) -> str:
    """Copies a file; returns an empty string, or why it cannot be read."""
    try:
        with open(path, "rb") as source:
            with open(target, "wb") as handle:
                while block := source.read(1 << 20):
                    handle.write(block)
    except PermissionError as error:
        return f"cannot be read ({error.strerror})"
    except OSError as error:
        raise write_error(target, error) from error
    return ""
