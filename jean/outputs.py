"""Outputs of a command: they may not destroy an input, and must be writable before any long work."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from jean.errors import UsageError
from jean.files import check_writable


def claim(
    inputs: Iterable[Path],
    *,
    holders: Iterable[Path] = (),
    files: Iterable[Path] = (),
    folders: Iterable[Path] = (),
    exclusive: Iterable[Path] = (),
) -> None:
    """Checks that no output is an input or lies inside one, and that all outputs can be written.

    Args:
        inputs: every file, clip and run that the command reads.
        holders: folders that hold inputs; an output may lie beside these, but may not be such a folder.
        files: every file that the command writes.
        folders: every folder that it writes; they are created.
        exclusive: folders whose files it replaces or removes: no input may lie in them.

    Raises:
        UsageError: an output is an input or lies inside one, a file to write is a folder, or an input lies in a folder
            of ``exclusive``.
        SetupError: an output cannot be written.
    """
    sources, files, folders, exclusive = list(inputs), list(files), list(folders), list(exclusive)
    read = _Places(sources)
    for output in [*files, *folders, *exclusive]:
        refuse_overlap(output, read)
    replaced = {folder.resolve(): folder for folder in exclusive}
    for source in sources:
        path = source.resolve()
        if (folder := next((replaced[each] for each in (path, *path.parents) if each in replaced), None)) is not None:
            raise UsageError(
                f"the input {source} lies inside {folder}, which is replaced.", "Move it, or choose another output."
            )
    held = _Places(holders)
    for output in [*files, *folders]:
        if output in held:
            raise UsageError(f"the output {output} is the folder of the inputs.", "Choose another --output.")
    for file in files:
        if file.is_dir():
            raise UsageError(f"the output {file} is a folder.", "Choose another --output.")
    for folder in dict.fromkeys([*(file.parent for file in files), *folders]):
        check_writable(folder)


def refuse_overlap(output: Path, inputs: _Places) -> None:
    """Refuses an output that is an input or lies inside one; links are followed.

    Raises:
        UsageError: it does.
    """
    if output in inputs:
        raise UsageError(f"the output {output} is an input of this command.", "Choose another --output.")
    if (source := inputs.around(output)) is not None:
        raise UsageError(f"the output {output} lies inside the input {source}.", "Choose another --output.")


class _Places:
    """Files and folders, looked up by where they really are.

    Args:
        paths: the files and folders, which need not exist.
    """

    def __init__(self, paths: Iterable[Path]):
        self._by_path = {path.resolve(): path for path in paths}
        self._identities = {identity for path in self._by_path if (identity := _identity(path)) is not None}

    def __contains__(self, path: Path) -> bool:
        resolved = path.resolve()
        return resolved in self._by_path or _identity(resolved) in self._identities

    def around(self, path: Path) -> Path | None:
        """The folder among these that contains ``path``; None if there is none."""
        return next((self._by_path[each] for each in path.resolve().parents if each in self._by_path), None)


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode, which two names of one file share; None if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
