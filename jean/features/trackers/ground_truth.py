"""Face tracker that returns the ground truth of the synthetic speaker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from jean.errors import InputError
from jean.features.base import Face
from jean.features.trackers.truth_file import load_truth

# landmarks that speech hardly moves: nose and eye corners
_STABLE = (27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 39, 42, 45)


class TruthTracker:
    """Face tracker on the ground truth of a synthetic video; see ``FaceTracker``.

    Args:
        video: path of the synthetic video; the truth is a file beside it.
        device: not used.

    Raises:
        InputError: the video has no ground truth beside it.
        ArtefactError: the truth is damaged.
    """

    name = "truth"
    version = "1"

    def __init__(self, video: str | Path, device: str = "cpu"):
        self._video = video
        self._truth = load_truth(video)
        expression = self._truth.meta["expression"]
        self.expression_names = tuple(expression["names"])
        self.upper_face = tuple(bool(flag) for flag in expression["upper"])
        self.canonical_points: np.ndarray | None = self._truth.arrays["shape"].astype(np.float32)
        self.stable_points = np.array(_STABLE)

    def assumed_focal_px(self, width_px: int, height_px: int) -> float:
        """The true focal length, scaled to frames of the given size."""
        return float(self._truth.meta["camera"]["focal_px"]) * width_px / self._truth.meta["size_px"]

    def track(self, frames: Iterable[tuple[float, np.ndarray]]) -> Iterator[list[Face]]:
        """Yields the true face at the time of each frame, in pixels of that frame; see ``FaceTracker.track``.

        Raises:
            InputError: a frame is not square, or its time is outside the video.
        """
        arrays = self._truth.arrays
        times = arrays["times_s"]
        step = 1.0 / self._truth.meta["fps"]
        for time_s, image in frames:
            height, width = image.shape[:2]
            if width != height:
                raise InputError(
                    f"{self._video} has frames of {width}×{height} px, but its ground truth is square.",
                    "Use the unchanged video.",
                )
            if not times[0] - step <= time_s <= times[-1] + step:
                raise InputError(
                    f"{self._video} has no ground truth at {time_s:.2f} s.",
                    "Use the unchanged video, or generate it again.",
                )
            t = int(np.argmin(np.abs(times - time_s)))
            scale = width / self._truth.meta["size_px"]
            points = (arrays["landmarks"][t] * scale).astype(np.float32)
            yield [
                Face(
                    landmarks=points,
                    points=points,
                    irises=(arrays["irises"][t] * scale).astype(np.float32),
                    expression=arrays["expression"][t].astype(np.float32),
                    camera_to_world=arrays["camera_to_world"][t].astype(np.float64),
                    score=1.0,
                )
            ]
