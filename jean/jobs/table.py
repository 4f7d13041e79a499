"""Reads tables of jobs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jean import remote
from jean.errors import InputError, UsageError
from jean.files import exists
from jean.jobs.config import PLACE
from jean.jobs.kind import Kind
from jean.names import suggestion

OUTPUT = "output"  # the column of the result


@dataclass(frozen=True)
class Job:
    """One line of the table.

    Attributes:
        line: its number in the file.
        output: path or address of the result.
        values: the other columns that are not empty.
    """

    line: int
    output: str
    values: dict[str, str]


def read_jobs(table: Path, output: Path, kind: Kind) -> Iterator[Job]:
    """The jobs of a table; paths in it are relative to its folder.

    Args:
        table: CSV file in UTF-8.
        output: folder or address of the results.
        kind: tells which columns there are.

    Raises:
        UsageError: unknown columns, a line without output, or two lines of one output.
        InputError: the table cannot be read, or has no line.
    """
    address = remote.address_of(output)
    try:
        with open(table, newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle, restkey="")
            _check_columns(table, reader.fieldnames or [], kind)
            lines = [(reader.line_num, {name: (text or "").strip() for name, text in row.items()}) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise InputError(
            f"cannot read {table} ({type(error).__name__}).", "Give --jobs a CSV file in UTF-8."
        ) from error
    if not lines:
        raise InputError(f"{table} has no job.", f"Write one line per result, below: {OUTPUT}, …")
    seen: dict[str, int] = {}
    for number, row in lines:
        name = row.pop(OUTPUT)
        if not name:
            raise UsageError(f"{table}, line {number}: there is no {OUTPUT}.", "Name the result.")
        if name in seen:
            raise UsageError(f"{table}: lines {seen[name]} and {number} have one {OUTPUT}.", "Name each differently.")
        seen[name] = number
        named = kind.files + kind.paths
        values = {
            column: _absolute(text, table.parent, column in kind.files) if column in named else text
            for column, text in row.items()
            if text
        }
        if not remote.is_url(name):
            name = f"{address.rstrip('/')}/{name}" if address is not None else str((output / name).absolute())
        yield Job(number, name, values)


def _check_columns(table: Path, columns: Sequence[str], kind: Kind) -> None:
    known = [OUTPUT, *kind.columns, *(name for name in type(kind.config).model_fields if name not in PLACE)]
    if OUTPUT not in columns:
        raise UsageError(f"{table} has no column {OUTPUT!r}.", f"It must have {OUTPUT}, and any keys of the command.")
    for name in columns:
        if name not in known:
            raise UsageError(f"{table} has a column {name!r}.", f"{suggestion(name, known)}See --help-config.")


def absolute(config: Any, names: Iterable[str]) -> Any:
    """A configuration whose fields ``names`` hold absolute paths, where they name files: workers have other folders."""
    given = {name: getattr(config, name, None) for name in names}
    found = {name: value for name, value in given.items() if value is not None and exists(Path(value))}
    return config.model_copy(update={name: type(value)(Path(value).absolute()) for name, value in found.items()})


def _absolute(text: str, folder: Path, is_file: bool) -> str:
    """A path of a table, which is relative to the table's folder; names and addresses stay as they are."""
    if remote.is_url(text):
        return text
    path = (folder / text).absolute()
    return str(path) if is_file or exists(path) else text
