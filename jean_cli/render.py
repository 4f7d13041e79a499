"""``jean render``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jean_cli.console import Reporter
from jean_cli.options import Backend, ConfigFile, DeviceName, Json, Output, Quiet, Seed, Sets, Verbose, configure


def render(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="What train-nerf wrote.")],
    output: Output,
    audio: Annotated[Path | None, typer.Option(help="The speech: any file with sound.")] = None,
    expression: Annotated[
        Path | None, typer.Option(help="The expression: a clip, a video, or NAME:STRENGTH such as happy:0.7.")
    ] = None,
    expression_timeline: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Columns: time_s, expression, strength.")
    ] = None,
    silence_gate: Annotated[bool, typer.Option("--silence-gate", help="Close the mouth where nobody speaks.")] = False,
    pose_smoothing: Annotated[float | None, typer.Option(help="Calm the head: spread in seconds.")] = None,
    pose: Annotated[str | None, typer.Option(help="The head pose: a clip, 'still', or a file.")] = None,
    pose_mode: Annotated[
        str | None,
        typer.Option(
            metavar="relative|absolute", help="Take a pose source's motion (default), or its poses as they are."
        ),
    ] = None,
    background: Annotated[str | None, typer.Option(help="white, source, or an image.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the frames, px.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second.")] = None,
    yaw: Annotated[float | None, typer.Option(help="Turn the camera aside, degrees.")] = None,
    pitch: Annotated[float | None, typer.Option(help="Raise the camera, degrees.")] = None,
    orbit: Annotated[float | None, typer.Option(help="Let the camera swing by so many degrees.")] = None,
    depth: Annotated[bool, typer.Option("--depth", help="Also write depth.")] = False,
    frames: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write the frames as PNG.")] = None,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="Render part I of N only.")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: DeviceName = None,
    backend: Backend = None,
    precision: Annotated[str | None, typer.Option(metavar="fp32|bf16", help="Of the kernels; bf16 is quicker.")] = None,
    sampling: Annotated[
        str | None, typer.Option(metavar="exact|skip", help="Of the paper preset; skip leaves empty space out.")
    ] = None,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Drive a learned head: speech decides the lips, other sources the expression and the pose."""
    from jean.rendering.config import RenderConfig
    from jean.rendering.render import render as synthesize

    reporter = Reporter(json_output, quiet)
    stage = configure(
        RenderConfig,
        config,
        sets,
        audio=audio,
        expression=expression,
        expression_timeline=expression_timeline,
        silence_gate=silence_gate or None,
        pose_smoothing=pose_smoothing,
        pose=pose,
        pose_mode=pose_mode,
        background=background,
        size=size,
        fps=fps,
        yaw=yaw,
        pitch=pitch,
        orbit=orbit,
        depth=depth or None,
        frames=frames,
        shard=shard,
        seed=seed,
        device=device,
        backend=backend,
        precision=precision,
        sampling=sampling,
    )
    reporter.finish(synthesize(run, stage, output, reporter))
