"""Scores systems: pairs their results, scores each, and writes the tables and the report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from jean.clips.sources import open_source
from jean.config import StageConfig
from jean.environment import pick_device
from jean.errors import InputError, JeanError, UsageError
from jean.evaluation.pairing import TRUTH, Job, Plan, make_plan, truth_jobs
from jean.evaluation.pool import run_parallel
from jean.evaluation.row import rows_of
from jean.evaluation.rules import REFERENCE, Rules
from jean.evaluation.score import score
from jean.evaluation.summary import summarise
from jean.evaluation.tables import columns_of, write_tables
from jean.features import registry as adapters
from jean.files import check_writable, folder_lock
from jean.metrics import registry
from jean.progress import Progress, Silent

OWN = "own_sync"

Outcome = tuple[dict[str, Any], dict[str, str]] | JeanError


class EvaluateConfig(StageConfig):
    """What is compared and how; see docs/evaluation.md for the protocol.

    Attributes:
        systems: name → a folder of its results (or one result), beside the results given directly.
        reference: what results should be: one video or clip folder for all, or a folder that pairs by name.
        expression_source: the videos whose expression was asked for, likewise; the reference if not given.
        audio_source: the speech that was asked for, likewise; the results' own sound if not given.
        pairs: a CSV file that pairs instead of names (columns: name, and any of the three above).
        no_audio: systems that take no audio: their lip sync is averaged over all audio sources.
        no_expression: systems that take no expression: theirs is averaged over all expression sources.
        metrics: names of metrics; the usual ones for none.
        tracker: finds the faces on both sides; ``reference`` takes the places from the partner's
            clip and leaves out what must be measured on the result.
        fps: rate of the comparison; None: the lowest of the videos' own.
        reference_start_s: the result begins at this time of the reference, e.g. for held-out frames.
        sync_protocol: the face that lip sync sees: ``track``, the tracked and steadied crop, or
            ``frame``, the whole frame.
        landmarks, audio_encoder: runs of ``train-landmarks`` and ``train-audio``: with both, the project's own
            lip sync is measured too.
        ground_truth: score the true videos too, as a row of their own.
        resamples: draws of the bootstrap for intervals; 0: no intervals.
        workers: processes that score results at the same time.
        device: where trackers and networks run.
        seed: of the bootstrap.
        frames_shown: moments shown in the report for each pair.
        embed_mib: the report embeds a result's video up to this size.
    """

    systems: dict[str, Path] = Field(default_factory=dict)
    reference: Path | None = None
    expression_source: Path | None = None
    audio_source: Path | None = None
    pairs: Path | None = None
    no_audio: tuple[str, ...] = ()
    no_expression: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    tracker: str = "mediapipe"
    fps: float | None = Field(None, gt=0, le=240)
    reference_start_s: float = Field(0.0, ge=0)
    sync_protocol: Literal["track", "frame"] = "track"
    landmarks: Path | None = None
    audio_encoder: Path | None = None
    ground_truth: bool = True
    resamples: int = Field(2000, ge=0, le=1_000_000)
    workers: int = Field(1, ge=1, le=64)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0
    frames_shown: int = Field(6, ge=1, le=24)
    embed_mib: float = Field(8.0, ge=0)


def evaluate(
    results: list[Path], config: EvaluateConfig, output: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Scores every result that has a partner.

    Args:
        results: video files, clip folders, or folders of either, of one system without a name.
        output: folder for ``metrics.json``, ``.csv``, ``.md``, ``.tex`` and ``report.html``; numbers
            already computed there for the same content and options are kept.

    Returns:
        What ``metrics.json`` holds: ``columns``; ``systems`` (see ``summarise``); ``rows`` (``system``,
        ``name``, ``values``, ``frames``, ``notes``, ``details``: the file in ``output`` with the values of
        each frame, …) and ``truth``, the same for the true videos; ``mean`` over all rows; ``unpaired``;
        ``missing`` (metrics that could not be built, and the remedy); ``failed`` (results that could not
        be scored, and why); ``protocol``. Unknown numbers are None.

    Raises:
        InputError: nothing can be compared.
        UsageError: an unknown metric, tracker or system, or the tracker ``reference`` without a clip.
        SetupError: the tracker's weights or package are missing; the output cannot be written.
    """
    progress = progress or Silent()
    chosen = registry.check(config.metrics)
    pair = (config.landmarks, config.audio_encoder)
    if pair.count(None) == 1 or (OWN in chosen and None in pair):
        raise UsageError("the own lip sync needs two runs.", "Give both: --landmarks RUN --audio-encoder RUN")
    if None not in pair and not config.metrics:
        chosen = registry.check([*chosen, OWN])
    systems = ({"": [Path(path) for path in results]} if results else {}) | {
        name: [path] for name, path in config.systems.items()
    }
    if not systems:
        raise UsageError("no result to evaluate is given.", "Give an mp4, a clip folder, or a folder.")
    if TRUTH in systems or "" in config.systems:
        raise UsageError(f"a system must have a name, and not {TRUTH!r}.", "Write: --system NAME=DIR")
    roles = {role: getattr(config, role) for role in ("reference", "expression_source", "audio_source")}
    plan = make_plan(systems, roles, config.pairs, {"audio": config.no_audio, "expression": config.no_expression})
    for line in _lonely(plan):
        progress.warn(line)
    rules = _rules(config, chosen, plan)
    truth = truth_jobs(plan) if config.ground_truth and _worth_it(chosen, plan) else []
    table: dict[str, Any] = {"kind": "evaluation", "protocol": _protocol(config, rules), "columns": columns_of(chosen)}
    table |= {"rows": [], "truth": [], "missing": {}, "failed": {}}
    table["unpaired"] = {"results": list(plan.lonely), "lacking": plan.lonely}
    table["unpaired"] |= {f"{role}s": paths for role, paths in plan.unused.items()}
    if output is not None:
        check_writable(output)
    with folder_lock(output) if output is not None else nullcontext():
        for job, outcome in _outcomes([*plan.jobs, *truth], rules, output, config.workers, progress):
            if isinstance(outcome, JeanError):
                table["failed"][_label(job)] = str(outcome)
                progress.warn(f"{_label(job)} is not scored: {outcome}")
                continue
            row, missing = outcome
            table["rows" if job.system != TRUTH else "truth"].append(row)
            table["missing"] |= missing
        for name, why in table["missing"].items():
            progress.warn(f"{name} is not computed: {why}")
        _finish(table, config)
        if output is not None:
            from jean.evaluation.evaluation_report import write_report

            write_report(table, output / "report.html", config.embed_mib)
        for part in ("rows", "truth"):
            table[part] = list(rows_of(table[part]))
        if output is not None:
            write_tables(table, output)
    return table


def _outcomes(
    jobs: list[Job], rules: Rules, output: Path | None, workers: int, progress: Progress
) -> Iterator[tuple[Job, Outcome]]:
    """What became of each job, in order; raises for what stops all of them."""
    if workers > 1 and len(jobs) > 1:
        yield from zip(jobs, run_parallel(jobs, rules, output, min(workers, len(jobs)), progress), strict=True)
        return
    scored = [job for job in jobs if job.system != TRUTH]
    for job in jobs:
        try:
            yield job, score(job, rules, output, progress)
        except InputError as error:
            if len(scored) == 1 and job.system != TRUTH:
                raise
            yield job, error


def _rules(config: EvaluateConfig, chosen: tuple[str, ...], plan: Plan) -> Rules:
    """What is the same for all jobs; fails now for what would fail at the first one."""
    version = ""
    if config.tracker == REFERENCE:
        for path in {job.reference for job in plan.jobs} | {job.expression_source for job in plan.jobs}:
            if path is not None and open_source(path).clip is None:
                raise UsageError(
                    f"--tracker reference needs clip folders as references, {path} is a video.",
                    "Prepare it, or choose a tracker.",
                )
    elif config.tracker == "truth":
        raise UsageError("--tracker truth knows no rendered video.", "Choose mediapipe, face-alignment or reference.")
    else:
        version = str(adapters.create("tracker", config.tracker, device=_device(config, chosen)).version)
    sounds = {job.audio_source for job in plan.jobs if job.audio_source is not None}
    expressions = {job.expression_source or job.reference for job in plan.jobs} - {None}
    return Rules(
        metrics=chosen,
        tracker=config.tracker,
        tracker_version=version,
        fps=config.fps,
        reference_start_s=config.reference_start_s,
        device=_device(config, chosen),
        frames_shown=config.frames_shown,
        sync_protocol=config.sync_protocol,
        pair=(config.landmarks, config.audio_encoder) if config.landmarks and config.audio_encoder else None,
        sounds=tuple(sorted(sounds)),
        expressions=tuple(sorted(path for path in expressions if path is not None)),
    )


def _protocol(config: EvaluateConfig, rules: Rules) -> dict[str, Any]:
    return {
        "tracker": rules.tracker,
        "tracker_version": rules.tracker_version,
        "metrics": {name: registry.load(name).version for name in rules.metrics},
        "fps": rules.fps,
        "reference_start_s": rules.reference_start_s,
        "sync_protocol": rules.sync_protocol,
        "no_audio": list(config.no_audio),
        "no_expression": list(config.no_expression),
        "resamples": config.resamples,
        "seed": config.seed,
    }


def _device(config: EvaluateConfig, chosen: tuple[str, ...]) -> str:
    """Where to compute; "auto" looks at torch only if something could use it."""
    idle = config.tracker in (REFERENCE, "mediapipe") and not any(registry.uses_torch(name) for name in chosen)
    return "cpu" if config.device == "auto" and idle else pick_device(config.device)


def _worth_it(chosen: tuple[str, ...], plan: Plan) -> bool:
    """Whether some metric says anything about a true video: all of them, if it is not its own partner."""
    other = any(job.expression_source not in (None, job.reference) for job in plan.jobs)
    return any(not kind.needs_partner or (kind.role == "expression" and other) for kind in map(registry.load, chosen))


def _lonely(plan: Plan) -> Iterator[str]:
    for path, roles in plan.lonely.items():
        whole = " and is not scored" if not any(str(job.result) == path for job in plan.jobs) else ""
        yield f"{path} has no partner ({', '.join(roles)}){whole}."
    for role, paths in plan.unused.items():
        for path in paths:
            yield f"the {role} {path} has no result."


def _label(job: Job) -> str:
    return f"{job.system}/{job.name}" if job.system else job.name


def _finish(table: dict[str, Any], config: EvaluateConfig) -> None:
    """Adds what is computed over rows.

    Raises:
        InputError: no result could be scored.
    """
    if not table["rows"]:
        raise InputError(f"no result could be scored: {next(iter(table['failed'].values()))}")
    table["systems"] = summarise([*table["rows"], *table["truth"]], table["columns"], config.resamples, config.seed)
    whole = summarise([{**row, "system": ""} for row in table["rows"]], table["columns"], 0, config.seed)[0]
    table["mean"], table["mean_over"] = whole["mean"], whole["over"]
