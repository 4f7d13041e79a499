"""Configuration of the stages that train in epochs: presets, training length, fingerprint of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from jean.config import StageConfig
from jean.errors import UsageError
from jean.outputs import claim

if TYPE_CHECKING:
    from jean.clips.corpus import CorpusClip

VALIDATION_FRACTION = 9 / 48  # fraction of the people held out for validation: 9 of 48, sections 8.1.1 and 8.2.1

_LENGTHS = ("epochs", "steps")


class EpochConfig(StageConfig):
    """Options shared by the stages that train in epochs. The defaults of a subclass are the paper's.

    A subclass lists the values of its other presets in ``presets``. They replace the defaults of the class, and
    values given by the user replace both. Every field that a preset decides therefore has its final value as soon
    as the configuration exists.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    preset: str = Field("paper", description="Name of a preset.")
    table: Path | None = Field(
        None,
        description="CSV file with the columns file, person, emotion, level and sentence. By default the tables in "
        "the DATA folders.",
    )
    epochs: int | None = Field(
        1, ge=1, le=1_000_000, description="Passes over the training set; null where steps is given."
    )
    steps: int | None = Field(None, ge=1, le=1_000_000_000, description="Optimisation steps, instead of epochs.")
    batch: int = Field(256, ge=1, le=1_000_000, description="Items per optimisation step.")

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = {name: value for name, value in values.items() if name not in _LENGTHS or value is not None}
        lengths = [name for name in _LENGTHS if name in values]
        if len(lengths) > 1:
            raise UsageError("--steps and --epochs contradict each other.", "Give one of them.")
        preset = values.get("preset")
        filled = dict(cls.presets.get(preset, {})) if isinstance(preset, str) else {}
        if lengths:
            filled |= {name: None for name in _LENGTHS}
        return filled | values

    @model_validator(mode="after")
    def _require_one_length(self) -> EpochConfig:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("a configuration has either epochs or steps")
        return self

    def total_steps(self, steps_per_epoch: int) -> int:
        """Optimisation steps of the whole training."""
        if self.epochs is not None:
            return self.epochs * steps_per_epoch
        assert self.steps is not None  # see _require_one_length
        return self.steps


def claim_run(output: Path, clips: Iterable[CorpusClip], data: Sequence[Path], runs: Iterable[Path] = ()) -> None:
    """Checks that a run folder can be written and is no input; see ``jean.outputs.claim``.

    Args:
        output: the run folder.
        clips: all clips that are read.
        data: the DATA folders that hold them.
        runs: runs of other stages that are read.
    """
    claim([*(clip.folder for clip in clips), *runs], holders=data, folders=[output])


def fingerprint(config: StageConfig, clips: Iterable[CorpusClip], file: str) -> dict[str, Any]:
    """Everything that decides the result of a run, as JSON values: a run is only resumed under an equal fingerprint.

    Args:
        config: of the stage. Its device and table are left out: the device does not decide the result, and the
            table has done its work when the clips are chosen.
        clips: the training and validation clips.
        file: the file of a clip folder that the stage reads; its digest stands for the clip.
    """
    hashes = {clip.name: clip.open().digest(file) for clip in clips}
    return config.model_dump(mode="json", exclude={"device", "table"}) | {"clips": hashes}
