"""Does the rendered mouth follow the speech? Its opening, estimated from the video, against the known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.clip import Clip
from jean.demo.mouth_image import lower_lip_edge, mouth_patch
from jean.features import registry
from jean.landmarks import mouth_opening
from jean.media import read_frames
from jean.metrics.mouth import correlation


def follow(video: Path, truth: Clip, opening: np.ndarray, tracker: str | None) -> dict[str, Any]:
    """How well the mouth in ``video`` follows the true ``opening`` [T].

    The estimator is a landmark tracker if one is named, and how far down the red of the lips reaches
    in any case; neither knows the true opening. What each reaches on the truth's own frames is its ceiling.

    Returns:
        For ``landmarks`` (None without a tracker) and ``pixels``: ``correlation``, ``ceiling``, and
        ``track`` [T], scaled to the truth's units by a line that was fitted on the truth's frames.
    """
    rendered = [image for _, image in read_frames(video, truth.fps)]
    count = min(len(rendered), truth.frame_count, len(opening))
    real = [np.asarray(truth.frames[t]) for t in range(count)]
    found: dict[str, Any] = {"landmarks": None}
    if tracker is not None:
        found["landmarks"] = _compare(
            _by_landmarks(rendered[:count], truth.fps, tracker),
            _by_landmarks(real, truth.fps, tracker),
            opening[:count],
        )
    found["pixels"] = _compare(_by_pixels(rendered[:count], truth), _by_pixels(real, truth), opening[:count])
    return found


def _compare(track: np.ndarray, on_truth: np.ndarray, opening: np.ndarray) -> dict[str, Any]:
    known = np.isfinite(on_truth)
    slope, offset = np.polyfit(on_truth[known], opening[known], 1) if known.sum() > 2 else (1.0, 0.0)
    scaled = track * slope + offset
    values = (correlation(track, opening), correlation(on_truth, opening))
    numbers = [float(value) if np.isfinite(value) else None for value in values]
    listed = [float(value) if np.isfinite(value) else None for value in scaled]
    return {"correlation": numbers[0], "ceiling": numbers[1], "track": listed}


def _by_landmarks(images: list[np.ndarray], fps: float, tracker: str) -> np.ndarray:
    adapter = registry.create("tracker", tracker)
    openings = []
    for faces in adapter.track((n / fps, image) for n, image in enumerate(images)):
        best = max(faces, key=lambda face: float(np.ptp(face.landmarks[:, 0])), default=None)
        openings.append(np.nan if best is None else float(mouth_opening(best.landmarks)))
    return np.array(openings)


def _by_pixels(images: list[np.ndarray], truth: Clip) -> np.ndarray:
    poses, shape = truth.arrays["camera_to_world"], truth.arrays["shape"]
    camera = truth.camera
    return np.array(
        [
            lower_lip_edge(mouth_patch(image, camera.resized(image.shape[0]), poses[t], shape))
            for t, image in enumerate(images)
        ]
    )
