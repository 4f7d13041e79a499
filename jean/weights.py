"""Pretrained weights: where they lie, where they come from, and that they are what they should be.

The register is ``jean/weights.json``: to add weights, add an entry there. A file is looked for in
``$JEAN_MODELS``, then in the user's cache, and it counts only when its sha256 is the registered one.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from jean.errors import ArtefactError, SetupError, UsageError
from jean.files import check_writable, folder_lock, read_json, sha256
from jean.progress import Advance, Progress, Silent

REGISTER = Path(__file__).with_name("weights.json")
_TRIES = 3  # connections to one address before the next one is tried
_BLOCK_BYTES = 1 << 14  # what a broken connection loses at most
_ELSEWHERE = "Free some space, or set JEAN_MODELS to another folder."


@dataclass(frozen=True)
class Weights:
    """One entry of the register.

    Attributes:
        name: file name, exactly as the libraries that load it expect it.
        used_by: what needs it, for people.
        licence: its licence, for people.
        restricted: its licence forbids commercial use and must be accepted.
        bytes: size of the file, None if not known.
        sha256: of the file.
        urls: where it can be had, tried in order.
    """

    name: str
    used_by: str
    licence: str
    restricted: bool
    bytes: int | None
    sha256: str
    urls: tuple[str, ...]


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
    """The file of ``name``, with the registered content.

    Raises:
        SetupError: it is not there; names the command that gets it.
        ArtefactError: it is there with another content.
    """
    path = locate(name)
    if path is None:
        raise SetupError(f"the weights {name} are missing.", f"Run: jean models pull {name}")
    check(path, entry(name).sha256)
    return path


def check(path: Path, want: str) -> None:
    """Compares a file with its sha256.

    Raises:
        ArtefactError: it has another content, or cannot be read.
    """
    try:
        found = sha256(path)
    except OSError as error:
        raise ArtefactError(f"cannot read {path}: {error.strerror or error}.", "Correct its permissions.") from error
    if found != want:
        raise ArtefactError(
            f"{path} is not the file it should be (sha256 {found[:12]}…, not {want[:12]}…).",
            f"Delete it and run: jean models pull {path.name}",
        )


def pull(name: str, accept_licence: bool = False, progress: Progress | None = None) -> Path:
    """Downloads ``name`` into the first of ``folders()``, unless it is there already.

    What a broken connection left is kept beside it and continued by the next call; a file gets its
    name only after its sha256 was found right.

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
    folder = folders()[0]
    try:
        check_writable(folder)
    except SetupError as error:
        raise SetupError(error.message, _ELSEWHERE) from error
    with folder_lock(folder):
        target = folder / name
        if target.is_file():  # another process was faster
            return find(name)
        partial_file = folder / f".{name}.{weights.sha256[:12]}.partial"
        reasons = []
        for url in weights.urls:
            reason = _fetch(url, partial_file, weights, progress)
            if not reason:
                _install(partial_file, target)
                return target
            reasons.append(f"{url.split('/')[2]}: {reason}")
    raise SetupError(
        f"cannot download {name} ({'; '.join(reasons)}).",
        f"Run the same command again to go on, or put the file at {target}.",
    )


def state(name: str) -> dict[str, Any]:
    """What is known of one file: where it is and whether it is ``right``, ``wrong`` or ``missing``."""
    weights = entry(name)
    path = locate(name)
    facts = {"name": name, "path": str(path) if path else None, "licence": weights.licence, "used_by": weights.used_by}
    if path is None:
        return {**facts, "state": "missing", "remedy": f"jean models pull {name}"}
    try:
        check(path, weights.sha256)
    except ArtefactError as error:
        return {**facts, "state": "wrong", "remedy": error.remedy}
    return {**facts, "state": "right", "remedy": None}


def _fetch(url: str, path: Path, weights: Weights, progress: Progress) -> str:
    """Completes the partial file ``path`` from ``url``; an empty string if it is right, else the reason."""
    import requests
    from pooch import HTTPDownloader

    reason = ""
    for _ in range(_TRIES):
        with _open(path) as handle, progress.task(weights.name, weights.bytes) as advance:
            done = handle.tell()
            advance(done)
            download = HTTPDownloader(
                progressbar=_Counter(advance),
                chunk_size=_BLOCK_BYTES,
                headers={"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {}),
                hooks={"response": partial(_restart_unless_continued, handle)},
            )
            try:
                download(url, handle, None)
            except requests.RequestException as error:
                reason = _reason(error)
                complete = getattr(error.response, "status_code", None) == 416  # nothing is left to send
                if not complete:
                    continue
            except OSError as error:
                raise _write_error(path, error) from error
        if sha256(path) == weights.sha256:
            return ""
        path.unlink()
        reason = "it sends another file (wrong sha256)"
        if not done:  # a continued file may have been wrong from before: once more from the start
            break
    return reason


def _open(path: Path) -> BinaryIO:
    try:
        return open(path, "ab")
    except OSError as error:
        raise _write_error(path, error) from error


def _write_error(path: Path, error: OSError) -> SetupError:
    return SetupError(f"cannot write {path}: {error.strerror or error}.", _ELSEWHERE)


def _restart_unless_continued(handle: BinaryIO, response: Any, **_: Any) -> None:
    """Empties the partial file when the server sends everything again instead of the rest."""
    if response.status_code == 200:
        handle.truncate(0)


def _reason(error: Exception) -> str:
    """A few words for a failed connection."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return {"ConnectionError": "no connection", "ChunkedEncodingError": "the connection broke"}.get(
        type(error).__name__, type(error).__name__
    )


def _install(path: Path, target: Path) -> None:
    try:
        with open(path, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(path, target)
    except OSError as error:
        raise _write_error(target, error) from error


class _Counter:
    """What pooch calls while it downloads, passed on as progress."""

    def __init__(self, advance: Advance):
        self._advance = advance
        self.total = 0

    def update(self, count: int) -> None:
        """Counts one block; the call at the end with the total is left out."""
        if count != self.total:
            self._advance(count)

    def reset(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""
