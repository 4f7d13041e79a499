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
    expression: Annotated[Path | None, typer.Option(help="The expression: a video or a clip.")] = None,
    pose: Annotated[str | None, typer.Option(help="The head pose: a clip, 'still', or a file.")] = None,
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
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Drive a learned head: speech decides the lips, other sources the expression and the pose."""
    from jean.synthesize import RenderConfig
    from jean.synthesize import render as synthesize

    reporter = Reporter(json_output, quiet)
    stage = configure(
        RenderConfig,
        config,
        sets,
        audio=audio,
        expression=expression,
        pose=pose,
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
    )
    reporter.finish(synthesize(run, stage, output, reporter))
