"""Outputs of a command: they may not destroy an input, and must be writable before any long work."""

from __future__ import annotations

import itertools
import os
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
    for source in sources:
        for output in [*files, *folders, *exclusive]:
            refuse_overlap(output, source)
        for folder in exclusive:
            if source.resolve().is_relative_to(folder.resolve()):
                raise UsageError(
                    f"the input {source} lies inside {folder}, which is replaced.", "Move it, or choose another output."
                )
    for output, holder in itertools.product([*files, *folders], holders):
        if _is_same(output, holder):
            raise UsageError(f"the output {output} is the folder of the inputs.", "Choose another --output.")
    for file in files:
        if file.is_dir():
            raise UsageError(f"the output {file} is a folder.", "Choose another --output.")
        check_writable(file.parent)
    for folder in folders:
        check_writable(folder)


def refuse_overlap(output: Path, source: Path) -> None:
    """Refuses an output that is an input or lies inside one; links are followed.

    Raises:
        UsageError: it does.
    """
    target, read = output.resolve(), source.resolve()
    if _is_same(target, read):
        raise UsageError(f"the output {output} is an input of this command.", "Choose another --output.")
    if target.is_relative_to(read):
        raise UsageError(f"the output {output} lies inside the input {source}.", "Choose another --output.")


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve() or os.path.samefile(one, other)
    except OSError:  # one of them does not exist yet
        return False
