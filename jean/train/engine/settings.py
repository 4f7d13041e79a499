"""The settings of stages that learn from a corpus: presets, and what decides a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jean.clips.corpus import CorpusClip
from jean.config import Config, StageConfig
from jean.errors import UsageError


def with_preset(config: Config, preset: dict[str, Any]) -> Config:
    """The configuration with its preset's values where it had None; steps given replace epochs, and epochs steps.

    Raises:
        UsageError: steps and epochs.
    """
    given = [name for name in ("steps", "epochs") if getattr(config, name) is not None]
    if len(given) == 2:
        raise UsageError("--steps and --epochs contradict each other.", "Give one of them.")
    left = {name: value for name, value in preset.items() if not (given and name in ("steps", "epochs"))}
    return config.model_copy(update={name: value for name, value in left.items() if getattr(config, name) is None})


def decisive(config: StageConfig, clips: Iterable[CorpusClip], file: str) -> dict[str, Any]:
    """Everything that decides a run, as JSON values: its configuration, and the sha256 of ``file`` in each clip."""
    hashes = {clip.name: clip.open().meta["files"][file]["sha256"] for clip in clips}
    # the table has done its work in the choice of the clips
    return config.model_dump(mode="json", exclude={"device", "table"}) | {"clips": hashes}
