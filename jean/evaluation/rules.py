"""What is the same for all results of one evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# The place of the face on both sides comes from the partner's clip; nothing is measured on the result.
REFERENCE = "reference"


@dataclass(frozen=True)
class Rules:
    """How results are scored.

    Attributes:
        metrics: names of metrics.
        tracker, tracker_version: finds the faces, or ``reference``.
        fps: rate of the comparison; None: the lowest of the videos'.
        reference_start_s: the result begins at this time of the reference.
        device: where networks run.
        frames_shown: moments kept for the report.
        sync_protocol: how faces are cropped for lip sync.
        pair: the networks of the project's own lip sync.
        sounds, expressions: all test sources, for systems that take no audio or no expression.
    """

    metrics: tuple[str, ...]
    tracker: str
    tracker_version: str
    fps: float | None
    reference_start_s: float
    device: str
    frames_shown: int
    sync_protocol: str
    pair: tuple[Path, Path] | None = None
    sounds: tuple[Path, ...] = ()
    expressions: tuple[Path, ...] = ()
