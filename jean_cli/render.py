"""``jean render``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jean_cli.command import command
from jean_cli.console import Reporter
from jean_cli.options import Option, Output

if TYPE_CHECKING:
    from jean.rendering.config import RenderConfig


@command(
    config="jean.rendering.config:RenderConfig",
    options=[
        Option("audio", metavar="FILE"),
        Option("expression", metavar="SOURCE"),
        Option("expression_timeline", metavar="FILE.csv"),
        Option("motion", metavar="builtin|RUN|CLIP"),
        Option("emotion", metavar="NAME[:STRENGTH]|auto"),
        Option("emotion_timeline", metavar="FILE.csv"),
        Option("lips", metavar="prior|own|RUN"),
        Option("articulation", metavar="FACTOR"),
        "silence_gate",
        Option("pose_smoothing", metavar="SECONDS"),
        Option("pose", metavar="SOURCE"),
        "pose_mode",
        Option("gaze", metavar="X,Y|CLIP|at-camera"),
        Option("blink", metavar="off|CLIP"),
        Option("background", metavar="WHAT"),
        Option("size", metavar="PX"),
        Option("fps", metavar="RATE"),
        Option("yaw", metavar="DEGREES"),
        Option("pitch", metavar="DEGREES"),
        Option("orbit", metavar="DEGREES"),
        "depth",
        "layers",
        Option("frames", metavar="DIR"),
        Option("shard", metavar="I/N"),
        Option("jobs", metavar="FILE.csv"),
        Option("workers", metavar="N"),
        Option("cluster", metavar="ADDRESS"),
        Option("label", metavar="TEXT"),
        "watermark",
        Option("certificate", metavar="FILE.pem"),
        Option("private_key", metavar="FILE.pem"),
        "backend",
        "precision",
        "sampling",
        Option("seed", metavar="N"),
    ],
    example="jean render runs/me --audio speech.wav --expression happy:0.7 -o result.mp4",
)
def render(
    output: Output,
    config: RenderConfig,
    reporter: Reporter,
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="Run folder of train-nerf; jobs may name their own.")
    ] = None,
) -> None:
    """Render a video of a trained head: speech drives the lips, other sources or a motion model the rest."""
    from jean.rendering.many import render_all

    reporter.finish(render_all(run, config, output, reporter))
