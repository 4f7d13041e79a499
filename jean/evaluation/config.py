"""Configuration of ``jean evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from jean.config import LARGEST_SEED, StageConfig


class EvaluateConfig(StageConfig):
    """Options of ``evaluate``; docs/evaluation.md describes the protocol."""

    systems: dict[str, Path] = Field({}, description="Name and results folder of each system.")
    reference: Path | None = Field(
        None,
        description="What results should look like: a video or clip for all results, or a folder paired by name.",
    )
    expression_source: Path | None = Field(
        None,
        description="Video or clip that gave the expression, or a folder of them. By default the reference.",
    )
    audio_source: Path | None = Field(
        None,
        description="Speech that drove the results, or a folder of it. By default the sound of each result.",
    )
    pairs: Path | None = Field(
        None, description="CSV file that pairs results with reference and sources, instead of their names."
    )
    no_audio: tuple[str, ...] = Field(
        (), description="Systems that take no audio: their lip sync is averaged over all audio sources."
    )
    no_expression: tuple[str, ...] = Field(
        (), description="Systems that take no expression: their Exp-Diff is averaged over all expression sources."
    )
    metrics: tuple[str, ...] = Field(
        (), description="Metrics to compute. By default all that need no option, and those whose options are given."
    )
    metric_options: dict[str, dict[str, Any]] = Field({}, description="Options of metrics, by metric and option.")
    tracker: str = Field(
        "mediapipe",
        description="Face tracker; reference uses the faces stored in the reference clip for both videos.",
    )
    fps: float | None = Field(
        None, gt=0, le=240, description="Frames per second of the comparison. By default the lowest of the videos."
    )
    reference_start_s: float = Field(
        0.0, ge=0, le=1_000_000, description="Time in the reference at which the result begins, in seconds."
    )
    ground_truth: bool = Field(True, description="Also score the true videos, as a system of their own.")
    resamples: int = Field(
        2000, ge=0, le=1_000_000, description="Bootstrap samples for confidence intervals; 0: no intervals."
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Number of results scored at the same time. By default 1, or all that the cluster has room for.",
    )
    cluster: str | None = Field(
        None,
        description="Score on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT. Its machines need the same files "
        "under the same paths.",
    )
    gpus: float = Field(0.0, ge=0, le=64, description="GPUs of each worker on the cluster; fractions share one.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Where trackers and networks run: cpu, cuda, or auto, which is the GPU if there is one.",
    )
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="Seed of the bootstrap.")
