"""What the metrics of one result receive: settings, partner videos and sounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jean.clips.sources import Source, open_source
from jean.evaluation.pairing import Job
from jean.metrics.base import SEPARATE_EXPRESSION, MetricContext, MetricOptions, Sound


@dataclass(frozen=True)
class Settings:
    """Settings shared by all results of one evaluation.

    Attributes:
        metrics: name of each metric → its options, in the order of the tables.
        tracker, tracker_version: finds the faces; see ``jean.metrics.base.REFERENCE_TRACKER``.
        fps: rate of the comparison; None for the lowest rate of the compared videos.
        reference_start_s: time in the reference at which the result begins.
        device: where networks run.
        sounds, expressions: all test sources, for systems that take no audio or no expression.
    """

    metrics: Mapping[str, MetricOptions]
    tracker: str
    tracker_version: str
    fps: float | None
    reference_start_s: float
    device: str
    sounds: tuple[Path, ...] = ()
    expressions: tuple[Path, ...] = ()


def open_sources(job: Job) -> dict[str, Source]:
    """Opens the videos of a job: role → source, the result first.

    The role ``expression`` is absent if the expression source is the reference.
    """
    sources = {"result": open_source(job.result)}
    for role, path in (("reference", job.reference), ("expression", job.expression_source)):
        if path is not None and (role == "reference" or path != job.reference):
            sources[role] = open_source(path)
    return sources


def partner_of(sources: Mapping[str, Source], role: str | None) -> Source | None:
    """The video that a metric with this role compares the result with.

    The reference also serves as the expression source if there is no separate one.
    """
    if role == "expression":
        return sources.get("expression") or sources.get("reference")
    if role == SEPARATE_EXPRESSION:
        return sources.get("expression")
    return sources.get(role) if role is not None else None


def metric_context(
    job: Job,
    sources: Mapping[str, Source],
    partner: Source | None,
    settings: Settings,
    fps: float,
    sounds: tuple[Sound, ...],
) -> MetricContext:
    """The context of a metric that compares the result with ``partner`` at ``fps`` frames/s."""
    return MetricContext(
        fps=fps,
        result_path=sources["result"].path,
        reference_path=partner.path if partner is not None else None,
        reference_is_clip=partner is not None and partner.clip is not None,
        tracker=settings.tracker,
        tracker_version=settings.tracker_version,
        device=settings.device,
        sounds=sounds,
        expressions=() if job.takes_expression else settings.expressions,
    )


def sounds_of(job: Job, sources: Mapping[str, Source], settings: Settings) -> tuple[Sound, ...]:
    """The speech that the lips should follow.

    This is the audio source if given, else the sound of the result, else the sound of the reference. A system that
    takes no audio is compared with all test sounds (section 8.5).
    """
    if not job.takes_audio:
        return tuple(Sound(path, 0.0, "audio source") for path in settings.sounds)
    if job.audio_source is not None:
        # if the reference is also the audio source, both start at the same time
        start_s = settings.reference_start_s if job.audio_source == job.reference else 0.0
        return (Sound(job.audio_source, start_s, "audio source"),)
    if sources["result"].sound() is not None:
        return (Sound(job.result, 0.0, "result"),)
    if "reference" in sources and sources["reference"].sound() is not None:
        return (Sound(sources["reference"].path, settings.reference_start_s, "reference"),)
    return ()
