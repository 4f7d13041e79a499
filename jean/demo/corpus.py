"""Draws the demo's clips and prepares them, several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jean.demo.plan import DemoClip
from jean.demo.pool import in_processes
from jean.progress import Progress, Silent


def video_path(folder: Path, clip: DemoClip) -> Path:
    """Where a clip's video lies."""
    return folder / f"{clip.name}.mp4"


def write_videos(
    folder: Path, clips: Sequence[DemoClip], person: int, size_px: int, progress: Progress, workers: int | None = None
) -> list[dict[str, Any]]:
    """Writes every clip; those that are whole are kept.

    Args:
        workers: processes, see ``in_processes``.

    Returns:
        For each clip its ``name``, ``role``, ``emotion``, ``seconds`` and ``sentences``.
    """
    jobs = [(folder / clip.name, person, clip, size_px) for clip in sorted(clips, key=lambda clip: -clip.seconds)]
    said = dict(in_processes(_write, jobs, "draw clips", progress, workers))
    return [
        {"name": c.name, "role": c.role, "emotion": c.emotion, "seconds": c.seconds, "sentences": said[c.name]}
        for c in clips
    ]


def _write(job: tuple[Path, int, DemoClip, int]) -> tuple[str, list[str]]:
    from jean.features.trackers.truth_file import load_truth
    from jean.synthetic_speaker.clip import write_clip

    stem, person, clip, size_px = job
    video = write_clip(
        stem, person, clip.emotion, clip.strength, seconds=clip.seconds, size=size_px, seed=clip.seed, matte=False
    )
    return clip.name, list(load_truth(video).meta["sentences"])


def prepare_videos(
    clips: dict[Path, Path], size_px: int, progress: Progress, workers: int | None = None
) -> list[dict[str, Any]]:
    """Prepares videos with the truth as their tracker.

    ``prepare`` finds these clips small and short, as they are meant to be: its warnings are not shown.

    Args:
        clips: video → clip folder, the longest first.
        workers: processes, see ``in_processes``.

    Returns:
        The figures of each clip, as ``jean.prepare.prepare.prepare`` gives them.
    """
    jobs = [(video, folder, size_px) for video, folder in clips.items()]
    return in_processes(_prepare, jobs, "prepare clips", progress, workers)


def _prepare(job: tuple[Path, Path, int]) -> dict[str, Any]:
    from jean.prepare.config import PrepareConfig
    from jean.prepare.prepare import prepare

    video, folder, size_px = job
    config = PrepareConfig(size=size_px, tracker="truth", device="cpu")
    return dict(prepare([video], folder, config, Silent())["clips"][0])
