"""Downloads one file from one URL with pooch, and resumes broken downloads."""

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
from jean.weights.archives import check_member

TRIES = 3  # connections to one URL before the next URL is tried
BLOCK_BYTES = 1 << 14  # at most this much of a download is lost when the connection breaks
ELSEWHERE = "Free some space, or set JEAN_MODELS to another folder."


def fetch(url: str, path: Path, label: str, size: int | None, verify: Callable[[Path], str], progress: Progress) -> str:
    """Downloads ``url`` to ``path``, or the missing part of it.

    If the connection breaks, the partial file stays and the next attempt resumes it. A complete file with the wrong
    content is deleted.

    Args:
        url: if it ends in ``#NAME``, it is a zip archive, and its member NAME is written to ``path``.
        path: the file; may hold a part of it from earlier calls.
        label: name of the progress bar.
        size: bytes of the file, None if unknown.
        verify: returns an empty string for the right content, otherwise what is wrong with it.
        progress: receives the progress.

    Returns:
        An empty string if the file is complete and right, otherwise the reason.

    Raises:
        SetupError: ``path`` cannot be written.
    """
    address, member = urldefrag(url)
    if not member:
        return _complete(address, path, label, size, verify, progress)
    archive = path.with_name(path.name + ".zip")
    reason = _complete(address, archive, label, None, _is_archive, progress)
    if reason:
        return reason
    reason = extract(archive, member, path, size) or verify(path)
    archive.unlink(missing_ok=True)
    if reason:
        path.unlink(missing_ok=True)
    return reason


def extract(archive: Path, member: str, path: Path, size: int | None = None) -> str:
    """Writes one file of a zip archive to ``path``.

    Paths in the archive are not used for writing, so no archive can write to another place. A member that would unpack
    to an absurd size is refused before it is written.

    Args:
        archive: the zip archive.
        member: path of the file in the archive, or its name, which must then be unique in all folders.
        path: where to write it.
        size: bytes of the file, None if unknown.

    Returns:
        An empty string, or what is wrong with the archive.

    Raises:
        SetupError: ``path`` cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            matches = [info for info in opened.infolist() if member in _names(info.filename)]
            if len(matches) != 1:
                return f"the archive holds {len(matches)} files called {member}"
            check_member(matches[0], size)
            with opened.open(matches[0]) as source, open(path, "wb") as target:
                while block := source.read(1 << 20):
                    target.write(block)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        return f"the archive is damaged ({error})"
    except OSError as error:
        raise write_error(path, error) from error
    return ""


def _names(filename: str) -> tuple[str, str]:
    """How a file of an archive may be named: by its path or by its last part."""
    return filename, PurePosixPath(filename).name


def install(path: Path, target: Path) -> None:
    """Syncs ``path`` to the disk, then renames it to ``target``.

    Raises:
        SetupError: the disk is full or not writable.
    """
    try:
        with open(path, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(path, target)
    except OSError as error:
        raise write_error(target, error) from error


def write_error(path: Path, error: OSError) -> SetupError:
    """The error to raise when a file of weights cannot be written."""
    return SetupError(f"cannot write {path}: {error.strerror or error}.", ELSEWHERE)


def _complete(
    url: str, path: Path, label: str, size: int | None, verify: Callable[[Path], str], progress: Progress
) -> str:
    """Downloads the missing part of ``path``, in up to ``TRIES`` connections; returns the reason of a failure."""
    import requests
    from pooch import HTTPDownloader

    reason = ""
    etag_path = path.with_name(path.name + ".etag")
    for _ in range(TRIES):
        with _open(path) as handle, progress.task(label, size) as advance:
            done = handle.tell()
            advance(done)
            download = HTTPDownloader(
                progressbar=_Counter(advance),
                chunk_size=BLOCK_BYTES,
                headers={"Accept-Encoding": "identity"} | (_resume_headers(done, etag_path) if done else {}),
                hooks={"response": partial(_on_response, handle, etag_path)},
            )
            try:
                download(url, handle, None)
            except requests.RequestException as error:
                reason = _reason(error)
                complete = getattr(error.response, "status_code", None) == 416  # the file was already complete
                if not complete:
                    continue
            except OSError as error:
                raise write_error(path, error) from error
        etag_path.unlink(missing_ok=True)
        reason = verify(path)
        if not reason:
            return ""
        path.unlink()
        if not done:  # only a resumed file is worth another try: its first part may have been wrong
            break
    return reason


def _resume_headers(done: int, etag_path: Path) -> dict[str, str]:
    """Headers that request the bytes after ``done``, or the whole file if its version on the server has changed."""
    etag = etag_path.read_text("utf-8") if etag_path.is_file() else ""
    return {"Range": f"bytes={done}-"} | ({"If-Range": etag} if etag else {})


def _on_response(handle: BinaryIO, etag_path: Path, response: Any, **_: Any) -> None:
    """Empties the partial file if the server sends the whole file; stores the version (ETag) of the file."""
    if response.status_code == 200:
        handle.truncate(0)
    etag = response.headers.get("ETag", "")
    if response.ok and etag and not etag.startswith("W/"):
        etag_path.write_text(etag, "utf-8")


def _is_archive(path: Path) -> str:
    return "" if zipfile.is_zipfile(path) else "the download is not a zip archive"


def _open(path: Path) -> BinaryIO:
    try:
        return open(path, "ab")
    except OSError as error:
        raise write_error(path, error) from error


def _reason(error: Exception) -> str:
    """A short reason for a failed connection."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return {"ConnectionError": "no connection", "ChunkedEncodingError": "the connection broke"}.get(
        type(error).__name__, type(error).__name__
    )


class _Counter:
    """Progress bar for pooch that passes the progress on."""

    def __init__(self, advance: Advance):
        self._advance = advance
        self.total = 0

    def update(self, count: int) -> None:
        """Adds one block; ignores pooch's last call, which repeats the total."""
        if count != self.total:
            self._advance(count)

    def reset(self) -> None:
        """Does nothing; pooch calls it."""

    def close(self) -> None:
        """Does nothing; pooch calls it."""
