"""What a command does with a job: the class that each command derives from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from jean.progress import Progress

Handle = Callable[[Any, Mapping[str, str], Path, Progress], dict[str, Any]]  # of configuration, columns and output


@dataclass(frozen=True)
class Kind:
    """What a command does with a job; one subclass per command. It can be pickled.

    Attributes:
        config: the configuration of every job, which the columns change.
        title: of the work, for progress.
        columns: further columns, which are no keys of the configuration.
        files: columns that name files.
        paths: columns that may name files, or something else.
        keeps_finished: whether the command itself recognises finished results; otherwise a record beside them does.
    """

    config: Any

    title: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    files: ClassVar[tuple[str, ...]]
    paths: ClassVar[tuple[str, ...]] = ()
    keeps_finished: ClassVar[bool] = True

    def start(self) -> Handle:
        """Loads what all jobs share."""
        raise NotImplementedError
