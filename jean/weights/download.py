"""One file from one address, over connections that break; the downloading itself is pooch's."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urldefrag

from jean.errors import SetupError
from jean.progress import Advance, Progress

TRIES = 3  # connections to one address before the next one is tried
BLOCK_BYTES = 1 << 14  # what a broken connection loses at most
ELSEWHERE = "Free some space, or set JEAN_MODELS to another folder."


def fetch(
    url: str, path: Path, label: str, size: int | None, verdict: Callable[[Path], str], progress: Progress
) -> str:
    """Completes the partial file ``path`` from ``url``; an empty string if it is right, else the reason.

    What a broken connection left is kept and continued, by this call and by the next. A file that
    ``verdict`` finds wrong is deleted.

    Args:
        url: may end in ``#NAME``: the address is of a zip archive, and ``path`` becomes its member NAME.
        path: what earlier calls left there is continued.
        label: shown beside the progress.
        size: bytes of the file, None if not known.
        verdict: an empty string for the right content, else what is wrong with it.

    Raises:
        SetupError: ``path`` cannot be written.
    """
    address, member = urldefrag(url)
    if not member:
        return _complete(address, path, label, size, verdict, progress)
    archive = path.with_name(path.name + ".zip")
    reason = _complete(address, archive, label, None, _is_archive, progress)
    if reason:
        return reason
    reason = extract(archive, member, path) or verdict(path)
    archive.unlink(missing_ok=True)
    if reason:
        path.unlink(missing_ok=True)
    return reason


def extract(archive: Path, member: str, path: Path) -> str:
    """Writes the one file called ``member``, in whatever folder of the archive, to ``path``.

    Only its content is taken from the archive, never a path, so no archive can write elsewhere.

    Returns:
        An empty string, or what is wrong with the archive.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            found = [info for info in opened.infolist() if PurePosixPath(info.filename).name == member]
            if len(found) != 1:
                return f"the archive holds {len(found)} files called {member}"
            with opened.open(found[0]) as source, open(path, "wb") as target:
                while block := source.read(1 << 20):
                    target.write(block)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        return f"the archive is damaged ({error})"
    except OSError as error:
        raise write_error(path, error) from error
    return ""


def install(path: Path, target: Path) -> None:
    """Syncs ``path`` to the disk and gives it its final name.

    Raises:
        SetupError: the disk is full or refuses.
    """
    try:
        with open(path, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(path, target)
    except OSError as error:
        raise write_error(target, error) from error


def write_error(path: Path, error: OSError) -> SetupError:
    """The one-line error for a failed write of weights."""
    return SetupError(f"cannot write {path}: {error.strerror or error}.", ELSEWHERE)


def _complete(
    url: str, path: Path, label: str, size: int | None, verdict: Callable[[Path], str], progress: Progress
) -> str:
    import requests
    from pooch import HTTPDownloader

    reason = ""
    mark = path.with_name(path.name + ".etag")
    for _ in range(TRIES):
        with _open(path) as handle, progress.task(label, size) as advance:
            done = handle.tell()
            advance(done)
            download = HTTPDownloader(
                progressbar=_Counter(advance),
                chunk_size=BLOCK_BYTES,
                headers={"Accept-Encoding": "identity"} | (_rest(done, mark) if done else {}),
                hooks={"response": partial(_on_answer, handle, mark)},
            )
            try:
                download(url, handle, None)
            except requests.RequestException as error:
                reason = _reason(error)
                complete = getattr(error.response, "status_code", None) == 416  # nothing is left to send
                if not complete:
                    continue
            except OSError as error:
                raise write_error(path, error) from error
        mark.unlink(missing_ok=True)
        reason = verdict(path)
        if not reason:
            return ""
        path.unlink()
        if not done:  # a continued file may have been wrong from before: once more from the start
            break
    return reason


def _rest(done: int, mark: Path) -> dict[str, str]:
    """Headers that ask for what is missing; for everything, should the server have another version by now."""
    tag = mark.read_text("utf-8") if mark.is_file() else ""
    return {"Range": f"bytes={done}-"} | ({"If-Range": tag} if tag else {})


def _on_answer(handle: BinaryIO, mark: Path, response: Any, **_: Any) -> None:
    """Empties the partial file when the server sends everything instead of the rest; notes the version."""
    if response.status_code == 200:
        handle.truncate(0)
    tag = response.headers.get("ETag", "")
    if response.ok and tag and not tag.startswith("W/"):
        mark.write_text(tag, "utf-8")


def _is_archive(path: Path) -> str:
    return "" if zipfile.is_zipfile(path) else "it sends no zip archive"


def _open(path: Path) -> BinaryIO:
    try:
        return open(path, "ab")
    except OSError as error:
        raise write_error(path, error) from error


def _reason(error: Exception) -> str:
    """A few words for a failed connection."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return {"ConnectionError": "no connection", "ChunkedEncodingError": "the connection broke"}.get(
        type(error).__name__, type(error).__name__
    )


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
