"""``jean verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jean_cli.console import Reporter
from jean_cli.options import Json, Quiet, Verbose


def verify(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="A video that render wrote.")],
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check that a result is marked as synthetic and unchanged since it was made (exit 4 if not)."""
    from jean.errors import ArtefactError
    from jean.provenance import check

    report = check(result)
    if not report["ok"]:
        raise ArtefactError(f"{result}: {'; '.join(report['problems'])}.", "Render it again.")
    Reporter(json_output, quiet).finish(report, f"{result}: synthetic, unchanged, made by {report['manifest']['kind']}")
