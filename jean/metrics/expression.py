"""Exp-Diff: how far the expression is from the one asked for (sections 4.1.2 and 8.5)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.sources import open_source
from jean.features import registry as adapters
from jean.metrics.base import Column, Compared, FramePair, PairContext, Scores, known_mean
from jean.metrics.faces import TrackedVideo

ESTIMATORS = {"mediapipe": "MediaPipe's blendshapes (52)"}


def expression_difference(expression: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Mean squared difference of coefficients [..., E] → [...]."""
    return ((np.asarray(expression, np.float64) - np.asarray(reference, np.float64)) ** 2).mean(-1)


class ExpressionDifference(Compared):
    """Exp-Diff against the expression source; against all of them for a system that takes none."""

    name = "expression"
    version = "1"
    role = "expression"
    columns = (
        Column("exp_diff", "Exp-Diff", "lower", 4, "Mean squared difference of the tracker's expression coefficients."),
    )

    def __init__(self, context: PairContext):
        self._context = context
        self._ours: list[np.ndarray | None] = []
        self._differences: list[float] = []

    @staticmethod
    def facts(context: PairContext) -> dict[str, Any]:
        """The expression sources, where all of them count."""
        return {"sources": [open_source(path).digest() for path in context.expressions]}

    def update(self, pair: FramePair) -> None:
        """Adds one pair of frames."""
        assert pair.reference is not None
        ours, theirs = pair.result.face, pair.reference.face
        if self._context.tracker == "reference":
            return
        self._ours.append(None if ours is None else ours.expression)
        known = ours is not None and theirs is not None and ours.expression.size > 0
        self._differences.append(float(expression_difference(ours.expression, theirs.expression)) if known else np.nan)  # type: ignore[union-attr]

    def result(self) -> Scores:
        """The scores over all pairs."""
        tracker = self._context.tracker
        if tracker == "reference":
            return Scores({"exp_diff": float("nan")}, notes=("Exp-Diff needs a tracker on the result.",))
        differences = np.array(self._differences)
        if not np.isfinite(differences).any():
            return Scores({"exp_diff": float("nan")}, notes=(f"No expression: {tracker} gives none for both.",))
        estimator = ESTIMATORS.get(tracker, f"the coefficients of {tracker}")
        notes = [f"Exp-Diff: of {estimator}, not of the 3DMM that the paper fits: compare only like with like."]
        value = known_mean(differences)
        if self._context.expressions:
            value = float(np.mean([self._against(path) for path in self._context.expressions]))
            count = len(self._context.expressions)
            notes.append(f"Exp-Diff: this system takes no expression, so it is the mean over {count} sources (8.5).")
        return Scores({"exp_diff": value}, {"exp_diff": differences}, tuple(notes))

    def _against(self, path: Path) -> float:
        """The mean difference from one source, over the frames that both have."""
        context = self._context
        theirs = expression_track(path, context.tracker, context.fps, context.device)
        pairs = [(a, b) for a, b in zip(self._ours, theirs, strict=False) if a is not None and b is not None]
        return float(np.mean([expression_difference(a, b) for a, b in pairs])) if pairs else float("nan")


@lru_cache(maxsize=64)
def expression_track(path: Path, tracker: str, fps: float, device: str) -> tuple[np.ndarray | None, ...]:
    """The expression in every frame of a source; None where there is no face. Kept: every result needs it."""
    source = open_source(path)
    built = adapters.create("tracker", tracker, video=path, device=device)
    video = TrackedVideo(source.frames(fps, warn=lambda _: None), built)
    return tuple(None if side.face is None else side.face.expression for _, side in video)
