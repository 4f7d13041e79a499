"""Scores one result with every metric, and keeps what was found.

What a metric found is kept by the content of the files and the metric's version, so that only what
changed is computed again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.sources import Source
from jean.errors import SetupError
from jean.evaluation.pairing import TRUTH, Job
from jean.evaluation.partners import context_of, open_sources, partner_of, sounds_of
from jean.evaluation.row import make_row
from jean.evaluation.rules import Rules
from jean.evaluation.stream import stream
from jean.evaluation.thumbnails import Thumbnails
from jean.files import read_json, write_json
from jean.metrics import registry
from jean.metrics.base import Metric, PairContext, Scores
from jean.progress import Progress

# Changes when kept numbers change for another reason than a metric's version.
ROW_VERSION = 2


def score(job: Job, rules: Rules, folder: Path | None, progress: Progress) -> tuple[dict[str, Any], dict[str, str]]:
    """Scores one result with every metric that can be computed.

    Args:
        folder: where numbers and thumbnails are kept, and looked for; None: nowhere.

    Returns:
        The row (see ``evaluate``) with ``series``, and the metrics that are missing with the reason.

    Raises:
        InputError: a file cannot be used, or result and partners have no moment in common.
    """
    sources = open_sources(job)
    own = {role: source.fps() for role, source in sources.items()}
    fps = rules.fps or min(own.values())
    kept = None if folder is None else folder / "rows" / _row_key(sources, rules, fps)
    base = read_json(kept / "base.json") if kept is not None and (kept / "base.json").is_file() else None
    found: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    notes: list[str] = []
    waiting: list[tuple[str, Path | None, Metric]] = []
    sounds = sounds_of(job, sources, rules) if any(registry.load(name).role is None for name in rules.metrics) else ()
    for name in rules.metrics:
        kind = registry.load(name)
        partner = partner_of(sources, kind.role)
        if partner is None and kind.needs_partner:
            if job.system != TRUTH:
                notes.append(f"{name} needs --{'expression-source' if kind.role == 'expression' else 'reference'}.")
            continue
        context = context_of(job, sources, partner, rules, kind.rate_hz or fps, sounds)
        try:
            path = None if kept is None else kept / f"{name}-{_metric_key(kind, context)}.json"
            if path is not None and base is not None and path.is_file():
                found[name] = read_json(path)
            else:
                waiting.append((name, path, kind(context)))  # type: ignore[call-arg]
        except SetupError as error:
            missing[name] = str(error)
    if base is not None and not waiting:
        progress.say(f"{job.system}/{job.name}: already scored." if job.system else f"{job.name}: already scored.")
    else:
        thumbnails = Thumbnails(rules.frames_shown)
        groups: dict[float, list[Metric]] = {fps: []} if base is None else {}
        for _, _, metric in waiting:
            groups.setdefault(metric.rate_hz or fps, []).append(metric)
        for rate, metrics in groups.items():
            shown = thumbnails if base is None and rate == fps else None
            frames = stream(job, sources, metrics, rules, rate, shown, progress)
            if shown is not None:
                base = {"frames": frames, "thumbnails": thumbnails.write(kept) if kept is not None else []}
                if kept is not None:
                    write_json(kept / "base.json", base)
        for name, path, metric in waiting:
            found[name] = _plain(metric.result()) | {"rate_hz": metric.rate_hz or fps}
            if path is not None:
                write_json(path, found[name])
    assert base is not None
    scores = [found[name] for name in rules.metrics if name in found]
    row = make_row(job, sounds, own, fps, base, scores, sorted(missing), notes)
    if folder is not None and kept is not None:
        row["details"] = str((kept / "row.json").relative_to(folder))
        write_json(kept / "row.json", row)
    return row, missing


def _row_key(sources: dict[str, Source], rules: Rules, fps: float) -> str:
    digests = {role: source.digest() for role, source in sources.items()}
    start_s = rules.reference_start_s if "reference" in sources else 0.0
    return _key(digests, rules.tracker, rules.tracker_version, fps, start_s, rules.frames_shown, ROW_VERSION)


def _metric_key(kind: Any, context: PairContext) -> str:
    facts = kind.facts(context) if hasattr(kind, "facts") else {}
    return _key(kind.version, facts)


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _plain(scores: Scores) -> dict[str, Any]:
    """Scores in terms of JSON; unknown numbers are None."""
    return {
        "values": {key: _number(value) for key, value in scores.values.items()},
        "series": {key: [_number(value) for value in track] for key, track in scores.series.items()},
        "notes": list(scores.notes),
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
