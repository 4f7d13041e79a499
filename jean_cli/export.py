"""``jean export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jean_cli.command import command
from jean_cli.console import Reporter
from jean_cli.options import Option, Output

if TYPE_CHECKING:
    from jean.rendering.export_config import ExportConfig


@command(
    config="jean.rendering.export_config:ExportConfig",
    options=[Option("frame", metavar="N"), Option("seed", metavar="N", hidden=True)],
    example="jean export runs/me -o head.ply",
)
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of train-nerf with a Gaussian head.")],
    output: Output,
    config: ExportConfig,
    reporter: Reporter,
) -> None:
    """Write the Gaussians of a trained head as a PLY file for viewers of 3D Gaussian Splatting."""
    from jean.rendering.export import export

    reporter.finish(export(run, config, output, reporter))
