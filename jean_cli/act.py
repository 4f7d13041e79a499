"""``jean act``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jean_cli.command import command
from jean_cli.console import Reporter
from jean_cli.options import Option, Output

if TYPE_CHECKING:
    from jean.rendering.act_config import ActConfig


@command(
    config="jean.rendering.act_config:ActConfig",
    options=[
        Option("audio", metavar="FILE"),
        Option("emotion", metavar="NAME[:STRENGTH]|auto"),
        Option("emotion_timeline", metavar="FILE.csv"),
        Option("pose", metavar="CLIP"),
        Option("expression", metavar="CLIP"),
        Option("gaze", metavar="CLIP"),
        Option("fps", metavar="RATE"),
        Option("jobs", metavar="FILE.csv"),
        Option("workers", metavar="N"),
        Option("cluster", metavar="ADDRESS"),
    ],
    example="jean act builtin --audio speech.wav --emotion happy:0.7 -o acted",
)
def act(
    motion: Annotated[str, typer.Argument(metavar="builtin|RUN", help="The motion model, or a run of train-motion.")],
    output: Output,
    config: ActConfig,
    reporter: Reporter,
) -> None:
    """Write a clip without pictures whose expression, gaze, blinks and head pose fit a voice and an emotion."""
    from jean.rendering.many import act_all

    reporter.finish(act_all(motion, config, output, reporter))
