"""Options that commands share, and ``--config``, ``--set`` and options turned into a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from jean.config import StageConfig


Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no messages.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show tracebacks.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE.yaml", help="Keys and values over the defaults."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One key over the defaults; may be repeated."),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Where random numbers begin.", min=0)]
DeviceName = Annotated[str | None, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.")]
Backend = Annotated[
    str | None, typer.Option("--backend", metavar="auto|native|reference", help="Compiled kernels, or readable torch.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Where to write.")]

Table = Annotated[
    Path | None, typer.Option("--table", metavar="FILE.csv", help="Columns: file, person, emotion, level, sentence.")
]

Config = TypeVar("Config", bound="StageConfig")


def configure(cls: type[Config], config: Path | None, sets: list[str] | None, **options: Any) -> Config:
    """The configuration of a stage; ``options`` that are None were not given.

    Raises:
        UsageError: see ``jean.config.load_config``.
    """
    from jean.config import load_config

    return load_config(cls, config, sets, **options)
