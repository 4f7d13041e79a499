"""``jean prepare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jean_cli.console import Reporter
from jean_cli.options import ConfigFile, DeviceName, Json, Output, Quiet, Seed, Sets, Verbose, configure


def prepare(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="One or many videos.")],
    output: Output,
    size: Annotated[
        int | None, typer.Option(help="Side of the square frames, px; 512 with a GPU, 256 without.")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second of the clip.")] = None,
    tracker: Annotated[str | None, typer.Option(help="mediapipe, face-alignment or truth.")] = None,
    matting: Annotated[str | None, typer.Option(help="selfie, grabcut or auto.")] = None,
    audio_features: Annotated[str | None, typer.Option(help="Names of extractors, separated by commas.")] = None,
    emotion_features: Annotated[
        str | None, typer.Option(help="Emotion features too: emoca, onnx-FILE@OUTPUT; separated by commas.")
    ] = None,
    face: Annotated[
        str | None, typer.Option(help="Where there are several: largest, left, right, or a number from the left.")
    ] = None,
    crop: Annotated[
        str | None, typer.Option(metavar="face|centre", help="Around the head, or the middle square.")
    ] = None,
    concat: Annotated[bool, typer.Option("--concat", help="One clip of all videos that fit together.")] = False,
    like: Annotated[Path | None, typer.Option(metavar="CLIP", help="With --concat: poses like this clip's.")] = None,
    tracks_only: Annotated[
        bool, typer.Option("--tracks-only", help="Keep no pictures: enough for every stage but the head.")
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Also write a contact sheet and an overlay video.")
    ] = False,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: DeviceName = None,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Turn videos of one person into clip folders that every later stage reads."""
    from jean.prepare.config import PrepareConfig
    from jean.prepare.prepare import prepare as run

    reporter = Reporter(json_output, quiet)
    stage = configure(
        PrepareConfig,
        config,
        sets,
        size=size,
        fps=fps,
        tracker=tracker,
        matting=matting,
        audio=audio_features.split(",") if audio_features else None,
        emotion=emotion_features.split(",") if emotion_features else None,
        face=face,
        crop=crop,
        concat=concat or None,
        like=like,
        tracks_only=tracks_only or None,
        preview=preview or None,
        seed=seed,
        device=device,
    )
    reporter.finish(run(videos, output, stage, reporter))
