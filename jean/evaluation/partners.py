"""What a result is compared with: the videos and sounds that its metrics are given."""

from __future__ import annotations

from jean.clips.sources import Source, open_source
from jean.evaluation.pairing import Job
from jean.evaluation.rules import Rules
from jean.metrics.base import PairContext, Sound


def open_sources(job: Job) -> dict[str, Source]:
    """role → source, the result first; an expression source that is the reference is not opened twice."""
    sources = {"result": open_source(job.result)}
    for role, path in (("reference", job.reference), ("expression", job.expression_source)):
        if path is not None and (role == "reference" or path != job.reference):
            sources[role] = open_source(path)
    return sources


def partner_of(sources: dict[str, Source], role: str | None) -> Source | None:
    """What a metric with this role is measured against; a reference stands for an expression source, too."""
    if role == "expression":
        return sources.get("expression") or sources.get("reference")
    return sources.get(role) if role is not None else None


def context_of(
    job: Job, sources: dict[str, Source], partner: Source | None, rules: Rules, fps: float, sounds: tuple[Sound, ...]
) -> PairContext:
    """What a metric is told before the first frame."""
    return PairContext(
        fps=fps,
        result_path=sources["result"].path,
        reference_path=partner.path if partner is not None else None,
        reference_is_clip=partner is not None and partner.clip is not None,
        tracker=rules.tracker,
        tracker_version=rules.tracker_version,
        device=rules.device,
        sounds=sounds,
        expressions=() if job.takes_expression else rules.expressions,
        sync_protocol=rules.sync_protocol,
        pair=rules.pair,
    )


def sounds_of(job: Job, sources: dict[str, Source], rules: Rules) -> tuple[Sound, ...]:
    """The speech that the lips should follow: the audio source, else the result's own, else the reference's."""
    if not job.takes_audio:
        return tuple(Sound(path, 0.0, "audio source") for path in rules.sounds)
    if job.audio_source is not None:
        # the reference given as the speech too begins where the reference does
        start_s = rules.reference_start_s if job.audio_source == job.reference else 0.0
        return (Sound(job.audio_source, start_s, "audio source"),)
    if sources["result"].sound() is not None:
        return (Sound(job.result, 0.0, "result"),)
    if "reference" in sources and sources["reference"].sound() is not None:
        return (Sound(sources["reference"].path, rules.reference_start_s, "reference"),)
    return ()
