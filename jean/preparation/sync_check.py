"""Check of sound against lips: how they go together, and warnings where they do not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from jean.lips.parameters import OPENING, WIDTH, measured_lips
from jean.lips.prior import load_prior
from jean.lips.sync import belongs_together, find_sync, late_s
from jean.media import RATE_HZ, read_audio
from jean.progress import Progress


def measure_sync(sound: Path, times_s: np.ndarray, landmarks: np.ndarray, progress: Progress) -> dict[str, Any]:
    """How sound and lips go together, by the lip prior.

    Args:
        sound: the clip's sound.
        times_s: times of the frames [T], s.
        landmarks: [T, 68, 2], px; NaN without a face.
        progress: receives warnings.

    Returns:
        ``sync``, the values of ``jean.lips.sync.Sync``; None where nothing can be measured.
    """
    track = load_prior().track(read_audio(sound, RATE_HZ, progress.warn))
    sync = find_sync(track.values[:, [OPENING, WIDTH]], times_s, measured_lips(landmarks))
    return {"sync": None if sync is None else {name: round(value, 3) for name, value in asdict(sync).items()}}


def sync_warnings(sync: dict[str, float]) -> list[str]:
    """Warnings about sound that does not fit the lips; natural lips lead by up to ``jean.lips.sync.NATURAL_S``."""
    if not belongs_together(sync["r"], sync["chance_r"]):
        return ["lips and sound do not seem to belong together; check that this is the person's own voice."]
    late = late_s(sync["lag_s"], sync["r"], sync["chance_r"], sync["rank"])
    if not late:
        return []
    word = "late" if late > 0 else "early"
    return [f"the sound is {abs(late):.2f} s {word}; --sound-offset {late:.2f} mends it."]
