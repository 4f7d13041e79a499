"""The interface of a metric, and what metrics share.

A metric receives one pair of frames after the other. It keeps sums or a few numbers per frame but no images, so memory
does not grow with the length of the video, and one decoding and tracking pass serves all metrics.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from jean.features.base import Face

# Tracker name: face positions on both sides come from the reference clip, and the result is not tracked.
REFERENCE_TRACKER = "reference"
# Role of a metric that only compares with an expression source that is not the reference.
SEPARATE_EXPRESSION = "separate expression"


@dataclass(frozen=True)
class Column:
    """One number that a metric reports, as tables and plots show it.

    Attributes:
        name: key in JSON and CSV; includes the unit where it is ambiguous.
        title: short heading.
        better: ``higher`` or ``lower``; None for a number that does not rank systems.
        digits: decimals shown.
        meaning: one sentence for the report.
    """

    name: str
    title: str
    better: Literal["higher", "lower"] | None
    digits: int
    meaning: str


@dataclass(frozen=True)
class TrackedFrame:
    """One frame of one video with its tracked face.

    Attributes:
        image: RGB uint8 [H, W, 3].
        face: the tracked face; None if no face was found.
        matte: opacity of head and torso, uint8 [H, W, 2]; None if unknown.
    """

    image: np.ndarray
    face: Face | None
    matte: np.ndarray | None = None


@dataclass(frozen=True)
class FramePair:
    """The frames of the result and of its partner at the same time.

    Attributes:
        time_s: time since the start of the result.
        result: the frame that is scored.
        reference: the frame it is compared with, from the video named by the metric's ``role``; None if there is no
            such video, which only metrics with ``needs_partner = False`` see.
    """

    time_s: float
    result: TrackedFrame
    reference: TrackedFrame | None


@dataclass(frozen=True)
class Sound:
    """Speech that the lips are compared with.

    Attributes:
        path: audio file, video file or clip folder.
        start_s: time in it at which the result begins.
        owner: where it comes from: ``result``, ``audio source`` or ``reference``.
    """

    path: Path
    start_s: float
    owner: str


@dataclass(frozen=True)
class MetricContext:
    """What a metric knows before the first frame.

    Attributes:
        fps: rate at which frames arrive.
        result_path: the result's file or clip folder.
        reference_path: the partner's file or clip folder; None if there is no partner.
        reference_is_clip: the partner is a clip folder, so its mattes are known.
        tracker: name of the tracker; ``REFERENCE_TRACKER`` if the result is not tracked.
        tracker_version: version of the tracker.
        device: where networks run.
        sounds: the speech that the lips should follow. One sound, or all test sounds for a system that takes no audio
            (section 8.5). Empty if nothing has sound.
        expressions: all expression sources of the test, for a system that takes no expression (section 8.5); empty for
            other systems.
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

    @property
    def result_is_tracked(self) -> bool:
        """Whether the faces of the result were measured on the result."""
        return self.tracker != REFERENCE_TRACKER


@dataclass(frozen=True)
class Scores:
    """The output of a metric for one result.

    Attributes:
        values: one number per column; NaN if it cannot be computed (a note says why).
        series: numbers over time for plots, each float [N], NaN where unknown.
        notes: one line for each fact that a reader needs to judge the numbers.
    """

    values: Mapping[str, float]
    series: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class MetricOptions(BaseModel):
    """Options of one metric: fields with a type, a default and a description.

    A field without a default makes the metric optional: it is computed only if the user gives a value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


class Metric(ABC):
    """Base class of metrics: built once per result, updated with every frame pair in order, then read once.

    To add a metric, subclass this in a new file and register the class (``jean.metrics.registry``, or the entry-point
    group ``jean.metrics`` of another package).

    Building a metric raises ``SetupError`` if a package or weights are missing. ``evaluate`` then computes the other
    metrics and reports the missing one.

    Attributes:
        name: registered name.
        version: increase it when the numbers change; cached numbers of other versions are not reused.
        columns: the numbers that ``result`` returns.
        Options: options that users can set, a subclass of ``MetricOptions``.
        role: partner that the result is compared with: ``reference`` (what the result should look like),
            ``expression`` (the expression source, or the reference if none is given), ``SEPARATE_EXPRESSION`` (the
            expression source, if it is another video than the reference), or None.
        needs_partner: skip the metric if that partner is missing.
        rate_hz: frame rate that the metric requires; None for any.
        uses_torch: runs a torch network, on the GPU if there is one.
        uses_sound: needs the speech, ``MetricContext.sounds``.
        needs_pictures: looks at pixels; such a metric is not computed for clips without pictures.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    columns: ClassVar[tuple[Column, ...]]
    Options: ClassVar[type[MetricOptions]] = MetricOptions
    role: ClassVar[str | None] = "reference"
    needs_partner: ClassVar[bool] = True
    rate_hz: ClassVar[float | None] = None
    uses_torch: ClassVar[bool] = False
    uses_sound: ClassVar[bool] = False
    needs_pictures: ClassVar[bool] = True

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        self.context = context
        self.options = self.Options() if options is None else options

    @classmethod
    def facts(cls, context: MetricContext, options: Any) -> dict[str, Any]:
        """Everything besides the two videos that the numbers depend on, as JSON values.

        Weights, sounds and options belong here. Cached numbers are reused only if the facts are the same.

        Args:
            context: as for the constructor.
            options: an instance of ``Options``.

        Raises:
            SetupError: as the constructor does.
        """
        return {}

    @abstractmethod
    def update(self, pair: FramePair) -> None:
        """Adds the next pair of frames."""

    @abstractmethod
    def result(self) -> Scores:
        """Returns the scores over all pairs."""


def mean_or_nan(total: float, count: int) -> float:
    """Returns ``total / count``; NaN if ``count`` is 0.

    >>> mean_or_nan(3.0, 2), mean_or_nan(0.0, 0)
    (1.5, nan)
    """
    return total / count if count else float("nan")


def finite_mean(values: np.ndarray) -> float:
    """Mean of the finite ``values``; NaN if there are none.

    >>> finite_mean(np.array([1.0, np.nan, 3.0]))
    2.0
    """
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


@contextmanager
def full_precision() -> Iterator[None]:
    """Runs torch without gradients and without TF32, so that scores do not depend on the device.

    By default torch lets cuDNN convolutions round their inputs to 10 bits of mantissa (TF32). That moves SyncNet
    distances by more than the test tolerance of 1e-3.
    """
    import torch

    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield
