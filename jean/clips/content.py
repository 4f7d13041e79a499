"""Checks that the files of a clip folder are those that ``clip.json`` describes."""

from __future__ import annotations

from pathlib import Path

from jean.clips.meta import (
    ARRAYS_FILE,
    AUDIO_FILE,
    CONTENT_FILES,
    EMOTION_FILE,
    FRAMES,
    MATTE,
    META,
    PICTURE_FILES,
    ClipMeta,
)
from jean.errors import ArtefactError
from jean.integrity import HashCache


def check_files(folder: Path, meta: ClipMeta) -> None:
    """Compares presence and size of every file with the metadata, and refuses links that leave the folder.

    Raises:
        ArtefactError: names the first file that is wrong.
    """
    pixels = meta.frames * meta.size_px**2
    sizes = {FRAMES: 3 * pixels, MATTE: 2 * pixels} if meta.pictures else {}
    required = {ARRAYS_FILE, *sizes, *meta.files}
    required |= {AUDIO_FILE} if meta.audio else set()
    required |= {EMOTION_FILE} if meta.emotion else set()
    root = folder.resolve()
    for name in (META, *CONTENT_FILES):
        path = folder / name
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise ArtefactError(f"{path} is a link to a file outside the clip.", "Copy the file into the clip.")
        if not path.is_file():
            if name in required:
                raise ArtefactError(f"{path} is missing or damaged.", "Prepare it again.")
            continue
        facts = meta.files.get(name)
        recorded = facts.bytes if facts is not None else None
        size = path.stat().st_size
        if size != sizes.get(name, size) or size != (size if recorded is None else recorded):
            raise ArtefactError(f"{path} is missing or damaged: its size is {size} bytes.", "Prepare it again.")


def check_hashes(folder: Path, meta: ClipMeta, pictures: bool) -> None:
    """Compares the sha256 of every file that the metadata records; each file is read once, see ``HashCache``.

    Args:
        folder: the clip folder.
        meta: its metadata.
        pictures: whether to compare frames, mattes and background as well.

    Raises:
        ArtefactError: names the first file that was changed.
    """
    hashes = HashCache(folder)
    for name, facts in meta.files.items():
        if name in PICTURE_FILES and not pictures:
            continue
        try:
            changed = hashes.sha256(name) != facts.sha256
        except OSError as error:
            raise ArtefactError(
                f"{folder / name} cannot be read: {error.strerror or error}.", "Prepare it again."
            ) from error
        if changed:
            raise ArtefactError(f"{folder / name} was changed or damaged after it was written.", "Prepare it again.")
    hashes.save()
