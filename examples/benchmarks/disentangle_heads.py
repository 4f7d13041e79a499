"""Rows of part 3 of ``disentangle.py``: which heads are trained, and how they are driven.

In the presets ``fast`` and ``gaussian``, lip coordinates from the speech or the landmarks of the expression source move
the lower face, by construction. ``UnwiredHead`` has neither: mouth and chin are what its network makes of e_a and e_e,
as in the preset ``paper``. ``SmallPaperHead`` is that preset at a size which a CPU trains in minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from disentangle_runs import Corpus, Steps, audio_run, expression_run
from torch import Tensor

from jean.clips.meta import BLENDSHAPES
from jean.drivers.method import METHODS
from jean.drivers.slow import HELD_S
from jean.models.head.base import HeadArguments
from jean.models.head.fast import SAMPLES, FastHead
from jean.models.head.paper import PaperHead
from jean.models.head.registry import HEADS
from jean.progress import Progress
from jean.train.nerf.config import PRESETS

UNWIRED, PAPER_SMALL = "unwired", "paper-small"
SLOW_S = 1.0  # over which rows named "slow" average e_e
# options of ``RenderConfig`` that make frames of the paper's field a hundred times as fast
FEW_SAMPLES = {"sampling": "skip", "precision": "bf16"}
RENDERING: dict[str, dict[str, Any]] = {"paper": FEW_SAMPLES, PAPER_SMALL: FEW_SAMPLES}


class UnwiredHead(FastHead):
    """The fast head whose landmarks move the upper face alone, and whose audio part of e_in is a free embedding."""

    training_defaults: ClassVar[dict[str, Any]] = {"lip_weight": 0.0}

    def __init__(self, arguments: HeadArguments, samples: int = SAMPLES):
        super().__init__(replace(arguments, audio_drives_mouth=True), samples)

    def fit_deformation(self, lips: Tensor, offsets: Tensor) -> None:
        """Leaves the map from lip coordinates to mouth and chin at zero."""


class SmallPaperHead(PaperHead):
    """The paper's head with a third of its samples per ray, and its preset with a quarter of its rays per step."""

    training_defaults: ClassVar[dict[str, Any]] = PRESETS["paper"] | {"rays": 512}

    def __init__(self, arguments: HeadArguments):
        super().__init__(arguments, coarse_samples=24, fine_samples=40)


HEADS.builtin = {
    **HEADS.builtin,
    **{name: f"{__name__}:{head.__name__}" for name, head in ((UNWIRED, UnwiredHead), (PAPER_SMALL, SmallPaperHead))},
}


@dataclass(frozen=True)
class HeadRow:
    """A row of the table.

    Attributes:
        name: of the row.
        method: name in ``jean.drivers.method.METHODS``.
        transformer: preset of ``train-expr``; None for a method without e_e.
        features: that the transformer reads; None for those of the corpus.
        training: further options of ``NerfConfig``.
        rendering: further options of ``RenderConfig``.
        run: name of the run, for rows that share a head; None for ``name``.
    """

    name: str
    method: str
    transformer: str | None = None
    features: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    rendering: Mapping[str, Any] = field(default_factory=dict)
    run: str | None = None


ROWS = [
    HeadRow("jean", "jean", "small"),
    HeadRow("jean-disentangled", "jean", "disentangled"),
    HeadRow("jean-held", "jean", "disentangled", rendering={"held_s": HELD_S}, run="jean-disentangled"),
    HeadRow("jean-slow", "jean", "small", training={"expression_window_s": SLOW_S}),
    *(HeadRow(name, name) for name in ("audio-only", "expression-only", "a", "b", "c")),
    HeadRow("c-slow", "c", training={"expression_window_s": SLOW_S}),
    HeadRow("d", "d", "small", BLENDSHAPES),
]
DEFAULT_ROWS = tuple(row.name for row in ROWS if not row.name.endswith("-slow"))


def chosen_rows(names: Sequence[str]) -> list[HeadRow]:
    """The rows with these names, in the order of ``ROWS``.

    >>> [row.name for row in chosen_rows(["c", "jean"])]
    ['jean', 'c']
    """
    if unknown := set(names) - {row.name for row in ROWS}:
        raise SystemExit(f"error: no rows called {', '.join(sorted(unknown))}")
    return [row for row in ROWS if row.name in names]


def training_options(row: HeadRow, preset: str, corpus: Corpus, steps: Steps, reporter: Progress) -> dict[str, Any]:
    """Options of ``NerfConfig`` for a row, after the stages that it builds on have run."""
    features = () if row.features is None else (row.features,)
    transformer = row.transformer and expression_run(corpus, steps, reporter, row.transformer, *features)
    audio = audio_run(corpus, steps, reporter, "small") if METHODS[row.method].audio_run else None
    runs = {"method": row.method, "expression_run": transformer, "audio_run": audio}
    return {"preset": preset} | runs | dict(row.training)
