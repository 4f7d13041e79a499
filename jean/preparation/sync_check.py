"""Check of sound against lips: how they go together, and warnings where they do not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from jean.lips.parameters import OPENING, WIDTH, measured_lips
from jean.lips.prior import load_prior
from jean.lips.sync import NATURAL_S, find_sync
from jean.media import RATE_HZ, read_audio
from jean.progress import Progress

SYNC_S = 3.0  # length from which the lag of sound and lips is trusted
FOUND_R = 0.22  # agreement above chance that lips and sound of one person reach
ONE_FRAME_S = 0.04


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
    """Warnings about sound that does not fit the lips; natural lips lead by up to ``NATURAL_S``."""
    if sync["r"] < sync["chance_r"] + FOUND_R:
        return ["lips and sound do not seem to belong together; check that this is the person's own voice."]
    if sync["rank"] > 0 or -NATURAL_S / 2 - ONE_FRAME_S <= sync["lag_s"] <= NATURAL_S + 2 * ONE_FRAME_S:
        return []
    late_s = sync["lag_s"] - NATURAL_S / 2
    word = "late" if late_s > 0 else "early"
    return [f"the sound is {abs(late_s):.2f} s {word}; --sound-offset {late_s:.2f} mends it."]
