"""Scores one result with every metric and caches the numbers.

The cache key of a metric contains the content of the files, the settings, and the versions of tracker, metric and
weights, so only what changed is computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.sources import Source
from jean.errors import ArtefactError, SetupError
from jean.evaluation.context import Settings, metric_context, open_sources, partner_of, sounds_of
from jean.evaluation.pairing import TRUTH, Job
from jean.evaluation.row import make_row
from jean.evaluation.stream import stream
from jean.evaluation.thumbnails import MOMENTS, Thumbnails
from jean.files import write_json
from jean.integrity import read_sealed, write_sealed
from jean.metrics import registry
from jean.metrics.base import SEPARATE_EXPRESSION, Metric, MetricContext, MetricOptions, Scores
from jean.progress import Progress

# Increase it when cached numbers change for another reason than a metric's version.
ROW_VERSION = 2


def score(
    job: Job, settings: Settings, folder: Path | None, progress: Progress
) -> tuple[dict[str, Any], dict[str, str]]:
    """Scores one result with every metric that can be computed.

    Args:
        job: the result and its partners.
        settings: settings of the evaluation.
        folder: output folder, where numbers and thumbnails are cached; None to cache nothing.
        progress: shows the frames as they are scored.

    Returns:
        The row (see ``evaluate``) with its ``series``, and the missing metrics with the reason for each.

    Raises:
        InputError: a file cannot be used, or result and partners do not overlap in time.
    """
    sources = open_sources(job)
    own_fps = {role: source.fps() for role, source in sources.items()}
    fps = settings.fps or min(own_fps.values())
    cache = None if folder is None else folder / "rows" / _row_key(sources, settings, fps)
    base = None if cache is None else _cached(cache / "base.json")
    kinds = [registry.load(name) for name in settings.metrics]
    needs_sound = any(kind.role is None or kind.uses_sound for kind in kinds)
    sounds = sounds_of(job, sources, settings) if needs_sound else ()

    scores: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    notes: list[str] = []
    pending: list[tuple[str, Path | None, Metric]] = []
    for name, options in settings.metrics.items():
        kind = registry.load(name)
        partner = partner_of(sources, kind.role)
        if partner is None and kind.needs_partner:
            if job.system != TRUTH and kind.role != SEPARATE_EXPRESSION:
                notes.append(f"{name} needs --{'expression-source' if kind.role == 'expression' else 'reference'}.")
            continue
        if kind.needs_pictures and not all(source.has_pictures for source in (sources["result"], partner) if source):
            notes.append(f"{name} needs pictures, which a clip of tracks does not have.")
            continue
        context = metric_context(job, sources, partner, settings, kind.rate_hz or fps, sounds)
        try:
            path = None if cache is None else cache / f"{name}-{_metric_key(kind, context, options)}.json"
            stored = None if path is None or base is None else _cached(path)
            if stored is not None:
                scores[name] = stored
            else:
                pending.append((name, path, kind(context, options)))
        except SetupError as error:
            missing[name] = str(error)

    if base is not None and not pending:
        progress.say(f"{job.label}: already scored.")
    else:
        base = _compute(job, sources, pending, settings, fps, cache, base, scores, progress)
    ordered = [scores[name] for name in settings.metrics if name in scores]
    row = make_row(job, sounds, own_fps, fps, base, ordered, sorted(missing), notes)
    if folder is not None and cache is not None:
        row["details"] = str((cache / "row.json").relative_to(folder))
        write_json(cache / "row.json", row)
    return row, missing


def _cached(path: Path) -> dict[str, Any] | None:
    """A cached document; None where it is missing or was changed, and is computed again."""
    try:
        return read_sealed(path) if path.is_file() else None
    except ArtefactError:
        return None


def _compute(
    job: Job,
    sources: Mapping[str, Source],
    pending: list[tuple[str, Path | None, Metric]],
    settings: Settings,
    fps: float,
    cache: Path | None,
    base: dict[str, Any] | None,
    scores: dict[str, dict[str, Any]],
    progress: Progress,
) -> dict[str, Any]:
    """Runs the pending metrics, adds their output to ``scores`` and the cache, and returns the counts and thumbnails.

    Metrics of equal frame rate share one pass over the videos.
    """
    thumbnails = Thumbnails()
    shown = all(source.has_pictures for source in sources.values())
    groups: dict[float, list[Metric]] = {fps: []} if base is None else {}
    for _, _, metric in pending:
        groups.setdefault(metric.rate_hz or fps, []).append(metric)
    for rate, metrics in groups.items():
        is_main_pass = base is None and rate == fps
        pictures = thumbnails if is_main_pass and shown else None
        counts = stream(job, sources, metrics, settings, rate, pictures, progress)
        if is_main_pass:
            base = {"frames": counts, "thumbnails": thumbnails.write(cache) if cache is not None else []}
            if cache is not None:
                write_sealed(cache / "base.json", base)
    for name, path, metric in pending:
        scores[name] = _to_json(metric.result()) | {"rate_hz": metric.rate_hz or fps}
        if path is not None:
            write_sealed(path, scores[name])
    assert base is not None
    return base


def _row_key(sources: Mapping[str, Source], settings: Settings, fps: float) -> str:
    digests = {role: source.digest() for role, source in sources.items()}
    start_s = settings.reference_start_s if "reference" in sources else 0.0
    return _key(digests, settings.tracker, settings.tracker_version, fps, start_s, MOMENTS, ROW_VERSION)


def _metric_key(kind: type[Metric], context: MetricContext, options: MetricOptions) -> str:
    return _key(kind.version, kind.facts(context, options))


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _to_json(scores: Scores) -> dict[str, Any]:
    """Scores as JSON values; NaN becomes None."""
    return {
        "values": {key: _number(value) for key, value in scores.values.items()},
        "series": {key: [_number(value) for value in track] for key, track in scores.series.items()},
        "notes": list(scores.notes),
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
