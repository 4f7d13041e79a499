"""What the public functions of ``jean`` return."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jean.clips.clip import Clip


@dataclass(frozen=True)
class PrepareResult:
    """Prepared clips.

    Attributes:
        folders: the clip folders, in the order of the videos.
        facts: the document that ``jean prepare --json`` prints.
    """

    folders: list[Path]
    facts: dict[str, Any] = field(repr=False)

    @property
    def clips(self) -> list[Clip]:
        """The clips, opened."""
        return [Clip.open(folder, pictures=False) for folder in self.folders]

    def __fspath__(self) -> str:
        """The folder of the only clip.

        Raises:
            ValueError: several clips were prepared.
        """
        if len(self.folders) != 1:
            raise ValueError(f"{len(self.folders)} clips were prepared: use .folders")
        return str(self.folders[0])


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
        folder: the run folder.
        steps: optimisation steps.
        seconds: spent in steps, over all resumes.
        metrics: the last evaluation, by name.
    """

    folder: Path
    steps: int
    seconds: float
    metrics: dict[str, Any]

    def __fspath__(self) -> str:
        """The run folder."""
        return str(self.folder)


@dataclass(frozen=True)
class RenderResult:
    """A rendered video.

    Attributes:
        output: the video.
        frames: number of frames.
        fps: frames per second.
        size_px: side of the frames.
        finished: False while other shards are missing.
        reductions: what the support limit has taken from each driver, see ``jean.rendering.limits.Reduction``.
        facts: the document that ``jean render --json`` prints.
    """

    output: Path
    frames: int
    fps: float
    size_px: int
    finished: bool
    reductions: dict[str, dict[str, float]]
    facts: dict[str, Any] = field(repr=False)

    def __fspath__(self) -> str:
        """The video."""
        return str(self.output)


@dataclass(frozen=True)
class EvaluateResult:
    """Scores of results.

    Attributes:
        mean: mean over all results by metric; None where a value is unknown.
        rows: one document per result, with ``system``, ``name`` and ``values``.
        facts: the document that ``jean evaluate --json`` prints.
    """

    mean: dict[str, Any]
    rows: list[dict[str, Any]]
    facts: dict[str, Any] = field(repr=False)

    def __getitem__(self, metric: str) -> Any:
        """Mean of one metric."""
        return self.mean[metric]
