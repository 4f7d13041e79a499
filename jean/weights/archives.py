"""Reads members of zip archives from elsewhere, and refuses those that unpack to far more than they take."""

from __future__ import annotations

import zipfile

MAX_RATIO = 20  # weights are close to random: real archives of them shrink by less than two


class Bomb(zipfile.BadZipFile):
    """A member that unpacks to an absurd size. It is refused before a byte of it is unpacked."""


def check_member(info: zipfile.ZipInfo, limit_bytes: int | None = None) -> None:
    """Refuses a member by the sizes that the archive states; Python unpacks no more than the stated size.

    Args:
        info: the member.
        limit_bytes: size of the file if it is known.

    Raises:
        Bomb: it unpacks to more than ``limit_bytes``, or to more than ``MAX_RATIO`` times what it takes.
    """
    too_large = limit_bytes is not None and info.file_size > limit_bytes
    if too_large or info.file_size > MAX_RATIO * max(info.compress_size, 1 << 10):
        raise Bomb(f"{info.filename!r} unpacks from {info.compress_size} to {info.file_size} bytes")


def check_archive(archive: zipfile.ZipFile) -> None:
    """Refuses an archive with a member that ``check_member`` refuses.

    Raises:
        Bomb: names the member.
    """
    for info in archive.infolist():
        check_member(info)


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """The content of a member.

    Raises:
        KeyError: there is no such member.
        Bomb: see ``check_member``.
    """
    info = archive.getinfo(name)
    check_member(info)
    return archive.read(info)
