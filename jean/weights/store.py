"""Pretrained weights: where they lie, where they come from, and that they are what they should be.

The register is ``jean/weights/weights.json``: to add weights, add an entry there. A file is looked for in
``$JEAN_MODELS``, then in the user's cache, and it counts only when its sha256 is the registered one. Where
the register knows none, the sha256 is noted in ``recorded.json`` beside the file when it first arrives, and
the file counts only as long as it has that one.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jean.errors import ArtefactError, SetupError, UsageError
from jean.files import check_writable, folder_lock, read_json, sha256, write_json
from jean.progress import Progress, Silent
from jean.weights.download import ELSEWHERE, fetch, install

REGISTER = Path(__file__).with_name("weights.json")
RECORD = "recorded.json"


@dataclass(frozen=True)
class Weights:
    """One entry of the register.

    Attributes:
        name: file name, exactly as the libraries that load it expect it; may lie in a folder of its own.
        command: which command of jean needs it.
        used_by: what needs it, for people.
        licence: its licence, for people.
        restricted: its licence forbids commercial use and must be accepted.
        bytes: size of the file, None if not known.
        sha256: of the file, whole; a first part of it where its authors tell only that; None if not known.
        sha1: of the file, where its authors tell that instead.
        urls: where it can be had, tried in order; ``#NAME`` at the end: a file in a zip archive.
    """

    name: str
    command: str
    used_by: str
    licence: str
    restricted: bool
    bytes: int | None
    sha256: str | None
    urls: tuple[str, ...]
    sha1: str | None = None

    @property
    def known(self) -> bool:
        """Whether the register tells the whole sha256."""
        return self.sha256 is not None and len(self.sha256) == 64


def register() -> dict[str, Weights]:
    """All known weights by name."""
    return {
        name: Weights(name, **{**facts, "urls": tuple(facts["urls"])}) for name, facts in read_json(REGISTER).items()
    }


def entry(name: str) -> Weights:
    """One entry of the register.

    Raises:
        UsageError: no weights have this name.
    """
    known = register()
    if name not in known:
        raise UsageError(f"no weights are called {name!r}.", f"Known: {', '.join(known)}.")
    return known[name]


def folders() -> list[Path]:
    """Where weights are looked for, in order; ``pull`` writes into the first."""
    home = Path.home()
    base = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or base) / "jean" / "models"
    chosen = os.environ.get("JEAN_MODELS")
    return [Path(chosen).expanduser(), cache] if chosen else [cache]


def locate(name: str) -> Path | None:
    """The first file called ``name``, its content not looked at; None if there is none."""
    return next((folder / name for folder in folders() if (folder / entry(name).name).is_file()), None)


def find(name: str) -> Path:
    """The file of ``name``, with the right content.

    Raises:
        SetupError: it is not there; names the command that gets it.
        ArtefactError: it is there with another content.
    """
    path = locate(name)
    if path is None:
        raise SetupError(f"the weights {name} are missing.", f"Run: {_command(entry(name))}")
    check(path, name)
    return path


def digest(path: Path) -> str:
    """Hex sha256 of a file of weights.

    Raises:
        ArtefactError: it cannot be read.
    """
    try:
        return sha256(path)
    except OSError as error:
        raise ArtefactError(f"cannot read {path}: {error.strerror or error}.", "Correct its permissions.") from error


def check(path: Path, name: str) -> None:
    """Compares a file with what is known of ``name``; notes its sha256 where nothing was.

    Raises:
        ArtefactError: it has another content, or cannot be read.
    """
    reason = wrong(path, entry(name), _recorded(path, name))
    if reason:
        raise ArtefactError(
            f"{path} is not the file it should be ({reason}).", f"Delete it and run: jean models pull {name}"
        )
    if not entry(name).known and not _recorded(path, name):
        with suppress(SetupError):  # a folder that cannot be written keeps what the register knows
            record(path, name)


def record(path: Path, name: str) -> None:
    """Notes the sha256 of a file in the folder of weights that it lies in."""
    book = _book(path, name)
    write_json(book, (read_json(book) if book.is_file() else {}) | {name: digest(path)})


def pull(name: str, accept_licence: bool = False, progress: Progress | None = None) -> Path:
    """Downloads ``name`` into the first of ``folders()``, unless it is there already.

    What a broken connection left is kept beside it and continued by the next call; a file gets its
    name only after its content was found right.

    Raises:
        UsageError: no such weights, or the licence must be accepted first.
        SetupError: no address gave the file, or the folder cannot be written or is locked.
        ArtefactError: a file with this name is there and has another content.
    """
    progress = progress or Silent()
    weights = entry(name)
    if locate(name) is not None:
        return find(name)
    if weights.restricted and not accept_licence:
        raise UsageError(
            f"{name} may not be used commercially ({weights.licence}).",
            f"If you may use it: jean models pull {name} --accept-licence",
        )
    folder = writable_folder()
    with folder_lock(folder):
        target = folder / name
        if target.is_file():  # another process was faster
            return find(name)
        target.parent.mkdir(exist_ok=True)
        stamp = (weights.sha256 or weights.sha1 or "unknown")[:12]
        partial_file = target.with_name(f".{target.name}.{stamp}.partial")
        reasons = []
        for url in weights.urls:
            verdict = partial(wrong, weights=weights, recorded=_recorded(target, name))
            reason = fetch(url, partial_file, name, weights.bytes, verdict, progress)
            if not reason:
                install(partial_file, target)
                if not weights.known:
                    record(target, name)
                    progress.say(f"{name}: no sha256 is published; {digest(target)} is noted and checked from now on.")
                return target
            reasons.append(f"{url.split('/')[2]}: {reason}")
    raise SetupError(
        f"cannot download {name} ({'; '.join(reasons)}).",
        f"Run the same command again to go on, or put the file at {target}.",
    )


def as_safetensors(name: str) -> Path:
    """The tensors of ``name``, a pickle of torch's, as safetensors: converted once, beside the original.

    Where the folder cannot be written, the original (which is then read as safely, but slower).

    Raises:
        SetupError, ArtefactError: as ``find``; ArtefactError too where it holds more than tensors.
    """
    from jean.weights.tensors import convert

    path = find(name)
    target = path.with_name(f"{path.name}.{digest(path)[:12]}.safetensors")
    if target.is_file():
        return target
    try:
        convert(path, target)
    except SetupError:
        return path
    return target


def state(name: str) -> dict[str, Any]:
    """What is known of one file: where it is and whether it is ``right``, ``wrong`` or ``missing``."""
    weights = entry(name)
    path = locate(name)
    facts: dict[str, Any] = {"name": name, "path": str(path) if path else None, "licence": weights.licence}
    facts |= {"restricted": weights.restricted, "used_by": weights.used_by, "command": weights.command}
    facts |= {"bytes": weights.bytes, "hash": "registered" if weights.known else "recorded at the first download"}
    facts |= {"urls": list(weights.urls)}
    if path is None:
        return {**facts, "state": "missing", "remedy": _command(weights)}
    try:
        check(path, name)
    except ArtefactError as error:
        return {**facts, "state": "wrong", "remedy": error.remedy}
    return {**facts, "state": "right", "remedy": None}


def wrong(path: Path, weights: Weights, recorded: str | None = None) -> str:
    """What is wrong with the content of ``path``; an empty string for nothing.

    Args:
        recorded: its sha256 when it first arrived.
    """
    found = digest(path)
    for want, whose in ((weights.sha256, ""), (recorded, " as at the first download")):
        if want and not found.startswith(want):
            return f"wrong sha256: {found[:12]}…, not {want[:12]}…{whose}"
    if weights.sha1 is not None and _sha1(path) != weights.sha1:
        return f"wrong sha1, not {weights.sha1[:12]}…"
    return ""


def _command(item: Weights) -> str:
    return f"jean models pull {item.name}" + (" --accept-licence" if item.restricted else "")


def _sha1(path: Path) -> str:
    total = hashlib.sha1(usedforsecurity=False)
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def _book(path: Path, name: str) -> Path:
    """Where the sha256 of a file is noted: in the folder of weights, above a folder of its own."""
    return path.parents[len(Path(name).parts) - 1] / RECORD


def _recorded(path: Path, name: str) -> str | None:
    book = _book(path, name)
    return read_json(book).get(name) if book.is_file() else None


def writable_folder() -> Path:
    """The folder that new files go to.

    Raises:
        SetupError: it cannot be made or written.
    """
    folder = folders()[0]
    try:
        check_writable(folder)
    except SetupError as error:
        raise SetupError(error.message, ELSEWHERE) from error
    return folder
