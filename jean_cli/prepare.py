"""``jean prepare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jean_cli.command import command
from jean_cli.console import Reporter
from jean_cli.options import Option, Output, Yes

if TYPE_CHECKING:
    from jean.preparation.config import PrepareConfig


@command(
    config="jean.preparation.config:PrepareConfig",
    options=[
        Option("size", metavar="PX|auto"),
        Option("fps", metavar="RATE"),
        Option("rotate", metavar="DEGREES"),
        Option("tracker", metavar="NAME"),
        Option("matting", metavar="NAME"),
        Option("audio", flag="--audio-features", metavar="NAME,…", separator=","),
        Option("emotion", flag="--emotion-features", metavar="NAME,…", separator=","),
        Option("face", metavar="WHICH"),
        "crop",
        "concat",
        Option("like", metavar="CLIP"),
        Option("sound_offset", metavar="SECONDS"),
        "tracks_only",
        Option("match", metavar="PATTERN"),
        "skip_unusable",
        "need_sound",
        Option("jobs", metavar="FILE.csv"),
        Option("workers", metavar="N"),
        Option("cluster", metavar="ADDRESS"),
        "preview",
    ],
    example="jean prepare me.mp4 -o clips/me --preview",
)
def prepare(
    output: Output,
    config: PrepareConfig,
    reporter: Reporter,
    videos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="VIDEO...", help="Videos of one person, folders of videos, or of numbered images."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Turn videos of one person into clip folders, which every later command reads."""
    from jean.preparation.prepare import prepare
    from jean.weights.provide import Consent

    reporter.finish(prepare(videos or [], output, config, reporter, Consent(reporter.confirm, yes)))
