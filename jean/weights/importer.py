"""Weights for machines without internet: files from a folder become those of the register."""

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
    """Copies every registered file found in a folder, or below it, into the first of ``weights.folders()``.

    Files are recognised by name, archives by the name in the address; content that is not the
    registered one is left where it is.

    Returns:
        ``imported`` and ``there`` (name → path), ``wrong`` (path → what is wrong with it).

    Raises:
        InputError: no folder, or nothing in it is in the register.
        SetupError: the folder of weights cannot be written or is locked.
    """
    progress = progress or Silent()
    source = Path(source)
    if not source.is_dir():
        raise InputError(f"{source} is no folder.", "Give a folder that holds files of weights.")
    found: dict[str, Any] = {"imported": {}, "there": {}, "wrong": {}}
    folder = weights.writable_folder()
    with folder_lock(folder):
        for name, item in weights.register().items():
            candidates = _candidates(source, item)
            there = weights.locate(name)
            if candidates and there is not None and not weights.wrong(there, item):
                found["there"][name] = there
                continue
            for path, member in candidates:
                reason = _take(path, member, folder / name, item)
                if not reason:
                    found["imported"][name] = folder / name
                    progress.say(f"{name}: imported. Licence: {item.licence}.")
                    break
                found["wrong"][str(path)] = reason
    if not any(found.values()):
        raise InputError(f"{source} holds no weights that jean knows.", f"Known: {', '.join(weights.register())}.")
    return found


def _candidates(source: Path, item: weights.Weights) -> list[tuple[Path, str]]:
    """(file, member of the archive or nothing) below ``source`` that may be these weights."""
    wanted = {Path(item.name).name: ""}
    for url in item.urls:
        address, _, member = url.partition("#")
        if member:
            wanted[address.rsplit("/", 1)[1]] = member
    files = [path for path in sorted(source.rglob("*")) if path.name in wanted and path.is_file()]
    # a file such as config.json exists for many models: its folder must be the right one too
    parent = Path(item.name).parent.name
    return [(path, wanted[path.name]) for path in files if not parent or path.parent.name == parent]


def _take(path: Path, member: str, target: Path, item: weights.Weights) -> str:
    """Copies one file to its place if it is right; an empty string, or what is wrong with it."""
    target.parent.mkdir(exist_ok=True)
    partial_file = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        reason = extract(path, member, partial_file) if member else _copy(path, partial_file)
        reason = reason or weights.wrong(partial_file, item)
        if not reason:
            install(partial_file, target)
            if not item.known:
                weights.record(target, item.name)
        return reason
    finally:
        partial_file.unlink(missing_ok=True)


def _copy(path: Path, target: Path) -> str:
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
