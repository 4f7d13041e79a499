"""How near a real tracker's landmarks come to the synthetic speaker's true ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jean.features import registry
from jean.features.trackers.truth_file import load_truth
from jean.landmarks import MOUTH, UPPER_FACE
from jean.media import read_frames
from jean.metrics.landmarks import landmark_distance
from jean.progress import Progress


def check_tracker(video: Path, tracker: str, progress: Progress) -> dict[str, Any]:
    """Tracks a synthetic video and compares with its truth.

    Returns:
        ``frames``, ``found`` (share of frames with a face) and the mean distances ``error_all``,
        ``error_mouth``, ``error_upper`` in inter-ocular distances (None if no face was found).
    """
    truth = load_truth(video)
    true, fps = truth.arrays["landmarks"], float(truth.meta["fps"])
    adapter = registry.create("tracker", tracker, video=video)
    tracked = np.full(true.shape, np.nan)
    with progress.task(f"track {video.name} with {tracker}", len(true)) as advance:
        for t, faces in zip(range(len(true)), adapter.track(read_frames(video, fps)), strict=False):
            if faces:
                tracked[t] = max(faces, key=lambda face: float(np.ptp(face.landmarks[:, 0]))).landmarks
            advance(1)
    found = np.isfinite(tracked).all((1, 2))
    errors: dict[str, Any] = {"tracker": tracker, "frames": len(true), "found": float(found.mean())}
    for name, points in (("all", slice(0, 68)), ("mouth", MOUTH), ("upper", UPPER_FACE)):
        values = landmark_distance(tracked[found], true[found], points)
        errors[f"error_{name}"] = float(values.mean()) if len(values) else None
    return errors
