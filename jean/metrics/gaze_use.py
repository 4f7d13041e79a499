"""How the eyes are used: whether they meet the viewer, how long they stay, how often they move."""

from __future__ import annotations

import numpy as np

from jean.metrics.base import Column, FramePair, Metric, MetricContext, MetricOptions, Scores
from jean.metrics.eyes import gaze_direction

DIRECT_DEG = 7.5  # from the median gaze within which the eyes count as resting on the viewer
SHIFT_DEG_S = 60.0  # angular speed from which the eyes move to another point


def gaze_use(gaze_deg: np.ndarray, fps: float) -> tuple[float, float, float]:
    """Share of direct gaze, mean duration of a fixation in s, and shifts per minute.

    Args:
        gaze_deg: directions [T, 2] of the frames that have one.
        fps: frames per second.

    Example:
        >>> gaze = np.concatenate([np.zeros((60, 2)), np.full((20, 2), 15.0)])
        >>> [round(value, 2) for value in gaze_use(gaze, 25.0)]
        [0.75, 1.6, 18.75]
    """
    direct = np.linalg.norm(gaze_deg - np.median(gaze_deg, 0), axis=1) < DIRECT_DEG
    fast = np.linalg.norm(np.diff(gaze_deg, axis=0), axis=1) * fps > SHIFT_DEG_S
    shifts = int((np.diff(np.concatenate([[0], fast.astype(int)])) == 1).sum())
    seconds = len(gaze_deg) / fps
    return float(direct.mean()), seconds / (shifts + 1), 60 * shifts / seconds


class GazeUse(Metric):
    """Use of the eyes in both videos."""

    name = "gaze_use"
    version = "1"
    needs_partner = False
    needs_pictures = False
    columns = tuple(
        Column(f"{key}{suffix}", f"{title}{of}", None, digits, f"{meaning}{of}.")
        for suffix, of in (("", ""), ("_reference", ", reference"))
        for key, title, digits, meaning in (
            ("direct_gaze_share", "Direct gaze", 2, "Fraction of the frames in which the eyes are near their middle"),
            ("fixation_s", "Fixation", 2, "Mean time between two movements of the eyes, s"),
            ("gaze_shift_per_min", "Gaze shifts", 1, "Movements of the eyes per minute"),
        )
    )

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self._gaze: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])

    def update(self, pair: FramePair) -> None:
        """Adds the gaze of both frames."""
        for track, frame in zip(self._gaze, (pair.result, pair.reference), strict=True):
            if frame is not None and frame.face is not None:
                track.append(gaze_direction(frame.face.landmarks, frame.face.irises))

    def result(self) -> Scores:
        """The use over frames with irises."""
        values = {column.name: float("nan") for column in self.columns}
        for video, suffix in ((0, ""), (1, "_reference")):
            gaze = np.array(self._gaze[video]).reshape(-1, 2)
            gaze = gaze[np.isfinite(gaze).all(1)]
            if len(gaze) > 1 and (video or self.context.result_is_tracked):
                names = ("direct_gaze_share", "fixation_s", "gaze_shift_per_min")
                shares = gaze_use(gaze, self.context.fps)
                values |= {f"{name}{suffix}": value for name, value in zip(names, shares, strict=True)}
        return Scores(values)
