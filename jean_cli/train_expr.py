"""``jean train-expr``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jean_cli.command import command
from jean_cli.console import Reporter
from jean_cli.options import Option, Output

if TYPE_CHECKING:
    from jean.train.expression.config import ExpressionConfig


@command(
    config="jean.train.expression.config:ExpressionConfig",
    options=[
        "preset",
        Option("person", metavar="NAME"),
        Option("emotion_features", metavar="NAME"),
        Option("table", metavar="FILE.csv"),
        Option("epochs", metavar="N"),
        Option("steps", metavar="N"),
    ],
    example="jean train-expr clips/M003 -o runs/expression",
)
def train_expr(
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA...", help="Prepared clips of the same sentences in several emotions."),
    ],
    output: Output,
    config: ExpressionConfig,
    reporter: Reporter,
) -> None:
    """Train one person's expression transformer, which separates expression from speech (section 3.2, Eqs. 3 and 4)."""
    from jean.train.expression.stage import train_expression

    reporter.finish(train_expression(data, output, config, reporter))
