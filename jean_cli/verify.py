"""``jean verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jean.errors import ArtefactError
from jean_cli.command import command
from jean_cli.console import Reporter


@command(example="jean verify result.mp4")
def verify(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="A video that jean render wrote.")],
    reporter: Reporter,
) -> None:
    """Check that a video is marked as synthetic and unchanged since it was rendered (exit code 4 if not)."""
    from jean.provenance import check

    report = check(result)
    if not report["ok"]:
        raise ArtefactError(f"{result}: {'; '.join(report['problems'])}. {_marks(report)}", facts=report)
    reporter.finish(report, f"{result}: synthetic, unchanged, made by {report['manifest']['kind']}")


def _marks(report: dict[str, Any]) -> str:
    """What the marks inside the file say, for a file that fails the check."""
    if report["watermarked"]:
        return "An invisible watermark says that it is synthetic."
    if report["tagged"] is None:
        return "No tags could be read."
    return "The tags inside say that it is synthetic." if report["tagged"] else "No tag inside says what it is."
