"""What a metric must offer. ``evaluate`` and the report know only this Protocol.

A metric sees one pair of frames after the other and keeps sums, never frames, so the length of a
video does not matter and both videos are decoded and tracked once for all metrics together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from jean.features.base import Face


@dataclass(frozen=True)
class Column:
    """One number of a metric, as tables and plots show it.

    Attributes:
        name: key in JSON and CSV, with its unit where that is ambiguous.
        title: short heading.
        better: ``higher``, ``lower``, or None for a number that is no judgement.
        digits: decimals to show.
        meaning: one sentence for the reader of the report.
    """

    name: str
    title: str
    better: str | None
    digits: int
    meaning: str


@dataclass(frozen=True)
class Side:
    """One frame of one video and what was seen in it.

    Attributes:
        image: RGB uint8 [H, W, 3].
        face: the tracked face; None where there is none or several.
        matte: uint8 [H, W, 2], head and torso opacity; None where unknown.
    """

    image: np.ndarray
    face: Face | None
    matte: np.ndarray | None = None


@dataclass(frozen=True)
class FramePair:
    """The same moment of the result and of its reference.

    Attributes:
        time_s: seconds from the start of the result.
        result: what is judged.
        reference: what it is compared with.
    """

    time_s: float
    result: Side
    reference: Side


@dataclass(frozen=True)
class PairContext:
    """What a metric may know before the first frame.

    Attributes:
        fps: rate at which frames are compared.
        result_path: the result's file or clip folder.
        reference_path: the reference's file or clip folder.
        reference_is_clip: the reference is a clip folder, so mattes are known.
        tracker: name of the tracker; ``reference`` if the result itself is not tracked.
        device: where networks run.
    """

    fps: float
    result_path: Path
    reference_path: Path
    reference_is_clip: bool
    tracker: str
    device: str = "cpu"


@dataclass(frozen=True)
class Scores:
    """What a metric found.

    Attributes:
        values: a number for each column; NaN where it cannot be computed (the note says why).
        series: numbers over time for plots, each float [N] and NaN where unknown.
        notes: one line for everything that a reader must know to trust the numbers.
    """

    values: Mapping[str, float]
    series: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Metric(Protocol):
    """Built with a ``PairContext``, fed every pair in order, asked once.

    Raises ``SetupError`` on building when a package or weights are missing: ``evaluate`` then
    computes the others and says so.

    Attributes:
        name: as in the registry.
        version: changes when the numbers change; cached rows of another version are not used.
        columns: what ``result`` returns.
    """

    name: str
    version: str
    columns: tuple[Column, ...]

    def update(self, pair: FramePair) -> None:
        """Adds one pair of frames."""
        ...

    def result(self) -> Scores:
        """The scores over all pairs."""
        ...


def mean_or_nan(total: float, count: int) -> float:
    """``total / count``, NaN for nothing."""
    return total / count if count else float("nan")
