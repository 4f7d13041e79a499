"""Exp-Diff: difference between the expression of the result and the requested one (sections 4.1.2 and 8.5)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.sources import open_source
from jean.features import registry as adapters
from jean.metrics.base import Column, FramePair, Metric, MetricContext, MetricOptions, Scores, finite_mean
from jean.metrics.faces import TrackedVideo

# tracker → its expression coefficients, as the notes name them
COEFFICIENTS = {"mediapipe": "MediaPipe's blendshapes (52)"}


def expression_difference(expression: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Mean squared difference of expression coefficients [..., E] → [...].

    >>> float(expression_difference(np.array([0.0, 1.0]), np.array([0.0, 0.5])))
    0.125
    """
    return ((np.asarray(expression, np.float64) - np.asarray(reference, np.float64)) ** 2).mean(-1)


class ExpressionDifference(Metric):
    """Exp-Diff against the expression source, or against all sources for a system that takes no expression."""

    name = "expression"
    version = "1"
    role = "expression"
    columns = (
        Column("exp_diff", "Exp-Diff", "lower", 4, "Mean squared difference of the tracker's expression coefficients."),
    )

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self._expressions: list[np.ndarray | None] = []
        self._differences: list[float] = []

    @classmethod
    def facts(cls, context: MetricContext, options: MetricOptions) -> dict[str, Any]:
        """Hashes of all expression sources, for a system that takes no expression."""
        return {"sources": [open_source(path).digest() for path in context.expressions]}

    def update(self, pair: FramePair) -> None:
        """Adds the difference of one frame pair; NaN if a face is missing."""
        assert pair.reference is not None
        if not self.context.result_is_tracked:
            return
        face, reference = pair.result.face, pair.reference.face
        self._expressions.append(None if face is None else face.expression)
        difference = np.nan
        if face is not None and reference is not None and face.expression.size > 0:
            difference = float(expression_difference(face.expression, reference.expression))
        self._differences.append(difference)

    def result(self) -> Scores:
        """The mean over frames; for a system that takes no expression, the mean over all sources."""
        tracker = self.context.tracker
        unknown = {"exp_diff": float("nan")}
        if not self.context.result_is_tracked:
            return Scores(unknown, notes=("Exp-Diff needs a tracker on the result.",))
        differences = np.array(self._differences)
        if not np.isfinite(differences).any():
            return Scores(unknown, notes=(f"Exp-Diff: {tracker} gives no expression for both videos.",))
        coefficients = COEFFICIENTS.get(tracker, f"the coefficients of {tracker}")
        notes = [f"Exp-Diff: of {coefficients}, not of the 3DMM that the paper fits: do not compare the two."]
        value = finite_mean(differences)
        if self.context.expressions:
            value = float(np.mean([self._difference_from(path) for path in self.context.expressions]))
            count = len(self.context.expressions)
            notes.append(f"Exp-Diff: mean over {count} sources, as this system takes no expression (section 8.5).")
        return Scores({"exp_diff": value}, {"exp_diff": differences}, tuple(notes))

    def _difference_from(self, path: Path) -> float:
        """Mean difference from one source over the frames that both videos have."""
        context = self.context
        track = expression_track(path, context.tracker, context.fps, context.device)
        pairs = [(a, b) for a, b in zip(self._expressions, track, strict=False) if a is not None and b is not None]
        return float(np.mean([expression_difference(a, b) for a, b in pairs])) if pairs else float("nan")


@lru_cache(maxsize=64)
def expression_track(path: Path, tracker: str, fps: float, device: str) -> tuple[np.ndarray | None, ...]:
    """Expression coefficients [E] of each frame of a source; None if there is no face. Cached for later results."""
    source = open_source(path)
    face_tracker = adapters.create("tracker", tracker, video=path, device=device)
    video = TrackedVideo(source.frames(fps, warn=lambda _: None), face_tracker)
    return tuple(None if frame.face is None else frame.face.expression for _, frame in video)
