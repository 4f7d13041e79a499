"""``jean train-expr``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jean_cli.console import Reporter
from jean_cli.options import ConfigFile, DeviceName, Json, Output, Quiet, Seed, Sets, Table, Verbose, configure


def train_expr(
    data: Annotated[
        list[Path], typer.Argument(metavar="DATA...", help="Prepared clips: the same sentences in several emotions.")
    ],
    output: Output,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="paper|small|disentangled", help="The paper's, for little data, or with e_l and e_e disentangled."
        ),
    ] = None,
    person: Annotated[str | None, typer.Option(help="Whose, where the clips show several people.")] = None,
    emotion_features: Annotated[str | None, typer.Option(help="Name of the features, or blendshapes.")] = None,
    table: Table = None,
    epochs: Annotated[int | None, typer.Option(help="Times over all windows.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps, instead of epochs.")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: DeviceName = None,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Learn one person's expressions apart from what is said (section 3.2, Eqs. 3 and 4)."""
    from jean.train.expression.config import ExpressionConfig
    from jean.train.expression.stage import train_expression

    reporter = Reporter(json_output, quiet)
    options = {"preset": preset, "person": person, "emotion_features": emotion_features, "table": table}
    stage = configure(ExpressionConfig, config, sets, epochs=epochs, steps=steps, seed=seed, device=device, **options)
    reporter.finish(train_expression(data, output, stage, reporter))
