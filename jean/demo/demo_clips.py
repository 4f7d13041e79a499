"""The demo's synthetic clips: their list, drawing and preparation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jean.cluster.calls import map_in_processes
from jean.demo.config import DemoConfig
from jean.progress import Progress, Silent

TRAIN, SPEECH, EXPRESSION, POSE = "train", "speech", "expression", "pose"  # roles of the clips


@dataclass(frozen=True)
class DemoClip:
    """One synthetic clip of the demo.

    Attributes:
        name: of its files.
        role: ``train`` (several clips), ``speech``, ``expression`` or ``pose`` (one clip each).
        emotion, strength: see ``jean.synthetic_speaker.performance.perform``.
        seconds: duration.
        seed: of everything except the identity; other seeds give other sentences.
    """

    name: str
    role: str
    emotion: str
    strength: float
    seconds: float
    seed: int


def plan_clips(config: DemoConfig) -> list[DemoClip]:
    """All clips of the demo; the three driving clips are equally long and not trained on."""
    if config.short:
        return [
            DemoClip("train_neutral", TRAIN, "neutral", 1.0, 3.0, 11),
            DemoClip("train_happy", TRAIN, "happy", 1.0, 3.0, 12),
            DemoClip("speech", SPEECH, "neutral", 1.0, 2.6, 21),
            DemoClip("expression", EXPRESSION, "happy", 1.0, 2.6, 22),
            DemoClip("pose", POSE, "neutral", 1.0, 2.6, 23),
        ]
    return [
        DemoClip("train_neutral", TRAIN, "neutral", 1.0, 6.0, 11),
        DemoClip("train_happy", TRAIN, "happy", 1.0, 6.0, 12),
        DemoClip("train_angry", TRAIN, "angry", 1.0, 5.0, 13),
        DemoClip("train_sad", TRAIN, "sad", 1.0, 5.0, 14),
        DemoClip("speech", SPEECH, "neutral", 1.0, 5.0, 21),
        DemoClip("expression", EXPRESSION, "happy", 1.0, 5.0, 22),
        DemoClip("pose", POSE, "neutral", 1.0, 5.0, 23),
    ]


def clips_of_role(clips: list[DemoClip], role: str) -> list[DemoClip]:
    """The clips with one role, in order."""
    return [clip for clip in clips if clip.role == role]


def video_path(folder: Path, clip: DemoClip) -> Path:
    """Path of a clip's video in the folder of all videos."""
    return folder / f"{clip.name}.mp4"


def write_videos(
    folder: Path, clips: Sequence[DemoClip], person: int, size_px: int, progress: Progress, workers: int | None = None
) -> list[dict[str, Any]]:
    """Draws and encodes the clips in parallel; complete videos are kept.

    Args:
        folder: of the videos.
        clips: what to draw.
        person: seed of the speaker's identity.
        size_px: side of the frames, px.
        progress: counts finished clips.
        workers: number of processes, see ``map_in_processes``.

    Returns:
        ``name``, ``role``, ``emotion``, ``seconds`` and ``sentences`` of each clip.
    """
    # The longest first, so that no process waits for a long one at the end.
    jobs = [(folder / clip.name, person, clip, size_px) for clip in sorted(clips, key=lambda clip: -clip.seconds)]
    sentences = dict(map_in_processes(_write, jobs, "draw clips", progress, workers))
    return [
        {"name": c.name, "role": c.role, "emotion": c.emotion, "seconds": c.seconds, "sentences": sentences[c.name]}
        for c in clips
    ]


def prepare_videos(
    clips: dict[Path, Path], size_px: int, progress: Progress, workers: int | None = None
) -> list[dict[str, Any]]:
    """Prepares synthetic videos in parallel, with the ground truth as their tracker.

    The clips are small and short on purpose, so the warnings of ``prepare`` about this are not shown.

    Args:
        clips: clip folder per video, the longest video first.
        size_px: side of the prepared frames, px.
        progress: counts finished clips.
        workers: number of processes, see ``map_in_processes``.

    Returns:
        The statistics of each clip, as ``jean.preparation.prepare.prepare`` returns them.
    """
    jobs = [(video, folder, size_px) for video, folder in clips.items()]
    return list(map_in_processes(_prepare, jobs, "prepare clips", progress, workers))


def _write(job: tuple[Path, int, DemoClip, int]) -> tuple[str, list[str]]:
    """Writes one video; returns its name and sentences."""
    from jean.features.trackers.truth_file import load_truth
    from jean.synthetic_speaker.speaker_video import write_speaker_video

    stem, person, clip, size_px = job
    video = write_speaker_video(
        stem, person, clip.emotion, clip.strength, seconds=clip.seconds, size=size_px, seed=clip.seed, matte=False
    )
    return clip.name, list(load_truth(video).meta["sentences"])


def _prepare(job: tuple[Path, Path, int]) -> dict[str, Any]:
    from jean.preparation.config import PrepareConfig
    from jean.preparation.prepare import prepare

    video, folder, size_px = job
    config = PrepareConfig(size=size_px, tracker="truth", device="cpu")
    return dict(prepare([video], folder, config, Silent())["clips"][0])
