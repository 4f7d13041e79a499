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
    """The same moment of the result and of its partner.

    Attributes:
        time_s: seconds from the start of the result.
        result: what is judged.
        reference: what it is compared with: the video that the metric's ``role`` names. None for a metric
            that can do without and has none.
    """

    time_s: float
    result: Side
    reference: Side | None


@dataclass(frozen=True)
class Sound:
    """Speech that lips are compared with.

    Attributes:
        path: a file with sound, or a clip folder.
        start_s: where in it the result begins.
        whose: ``result``, ``audio source`` or ``reference``.
    """

    path: Path
    start_s: float
    whose: str


@dataclass(frozen=True)
class PairContext:
    """What a metric may know before the first frame.

    Attributes:
        fps: rate at which frames are compared.
        result_path: the result's file or clip folder.
        reference_path: the partner's file or clip folder; None for a metric that can do without.
        reference_is_clip: the partner is a clip folder, so mattes are known.
        tracker: name of the tracker; ``reference`` if the result itself is not tracked.
        tracker_version: its version.
        device: where networks run.
        sounds: the speech that the lips should follow: one, or all test sounds for a system that takes no
            audio (section 8.5); none where nothing has sound.
        expressions: every test expression source, for a system that takes no expression (section 8.5);
            empty for others.
        sync_protocol: how the face is cropped for lip sync: ``track`` or ``frame``.
        pair: run folders of the landmark autoencoder and the audio encoder, for the project's own lip sync.
    """

    fps: float
    result_path: Path
    reference_path: Path | None
    reference_is_clip: bool
    tracker: str
    tracker_version: str = ""
    device: str = "cpu"
    sounds: tuple[Sound, ...] = ()
    expressions: tuple[Path, ...] = ()
    sync_protocol: str = "track"
    pair: tuple[Path, Path] | None = None


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

    A metric may have a static method ``facts(context)`` that returns, as plain values, everything besides
    the two videos that its numbers depend on (weights, sounds, …): they are part of what kept rows are
    known by. It raises ``SetupError`` like the metric itself.

    Attributes:
        name: as in the registry.
        version: changes when the numbers change; cached numbers of another version are not used.
        columns: what ``result`` returns.
        role: the partner that it is compared with: ``reference`` (what the result should be),
            ``expression`` (the source of the expression, the reference where none is given), None.
        needs_partner: it is left out where that partner is missing.
        rate_hz: frames a second that it must have; None for any.
    """

    name: str
    version: str
    columns: tuple[Column, ...]
    role: str | None
    needs_partner: bool
    rate_hz: float | None

    def update(self, pair: FramePair) -> None:
        """Adds one pair of frames."""
        ...

    def result(self) -> Scores:
        """The scores over all pairs."""
        ...


class Compared:
    """What most metrics are: a comparison with the reference, at any rate."""

    role: str | None = "reference"
    needs_partner = True
    rate_hz: float | None = None


def mean_or_nan(total: float, count: int) -> float:
    """``total / count``, NaN for nothing."""
    return total / count if count else float("nan")


def known_mean(values: np.ndarray) -> float:
    """The mean of the finite ``values``, NaN where there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
