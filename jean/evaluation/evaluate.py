"""``jean evaluate``: pairs the results of systems, scores each, and writes tables and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jean.clips.sources import open_source
from jean.cluster.base import LostError, in_order
from jean.cluster.local import InProcess
from jean.cluster.select import engine_for
from jean.environment import pick_device
from jean.errors import InputError, JeanError, UsageError
from jean.evaluation.config import EvaluateConfig
from jean.evaluation.context import Settings
from jean.evaluation.pairing import ROLES, TRUTH, Job, Plan, make_plan, truth_jobs
from jean.evaluation.row import without_series
from jean.evaluation.score import score
from jean.evaluation.summary import summarise
from jean.evaluation.tables import columns_of, write_tables
from jean.features import registry as adapters
from jean.files import folder_lock
from jean.jobs.run import require_here
from jean.metrics import registry
from jean.metrics.base import REFERENCE_TRACKER, MetricOptions
from jean.outputs import claim
from jean.progress import Progress, Silent
from jean.weights.provide import provide

# The row of one result and its missing metrics, or the reason why it could not be scored.
Outcome = tuple[dict[str, Any], dict[str, str]] | JeanError


def evaluate(
    results: list[Path], config: EvaluateConfig, output: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Scores every result that has a partner.

    Args:
        results: video files, clip folders, or folders of either, of one system without a name.
        config: what is compared and how.
        output: folder for ``metrics.json``, ``.csv``, ``.md``, ``.tex`` and ``report.html``. Numbers that an earlier
            call computed there for the same content and options are reused. None to write nothing.
        progress: shows the progress.

    Returns:
        The content of ``metrics.json``: ``columns``; ``systems`` (see ``summarise``); ``rows`` with ``system``,
        ``name``, ``values``, ``frames``, ``notes`` and ``details`` (file in ``output`` with the values of each frame);
        ``truth``, the same for the true videos; ``mean`` over all rows; ``unpaired`` files; ``missing`` metrics with
        the remedy; ``failed`` results with the reason; ``protocol``. Unknown numbers are None.

    Raises:
        InputError: nothing can be compared.
        UsageError: unknown metric, option, tracker or system, or the tracker ``reference`` without a clip.
        SetupError: weights or package of the tracker are missing, or the output cannot be written.
    """
    progress = progress or Silent()
    metrics = registry.select(config.metrics, config.metric_options)
    plan = _plan(results, config)
    if output is not None:
        named = [*results, *config.systems.values(), *(getattr(config, role) for role in ROLES)]
        claim(_files_of(plan), holders=[path for path in named if path is not None], folders=[output])
    for line in _unpaired_warnings(plan):
        progress.warn(line)
    settings = _settings(config, metrics, plan, progress)
    truth = truth_jobs(plan) if config.ground_truth and _truth_has_numbers(metrics, plan) else []
    table: dict[str, Any] = {
        "kind": "evaluation",
        "protocol": _protocol(config, settings),
        "columns": columns_of(metrics),
        "rows": [],
        "truth": [],
        "missing": {},
        "failed": {},
        "unpaired": {"results": list(plan.unpaired), "lacking": plan.unpaired}
        | {f"{role}s": paths for role, paths in plan.unused.items()},
    }
    with folder_lock(output) if output is not None else nullcontext():
        for job, outcome in _outcomes([*plan.jobs, *truth], settings, output, config, progress):
            if isinstance(outcome, JeanError):
                table["failed"][job.label] = str(outcome)
                progress.warn(f"{job.label} is not scored: {outcome}")
                continue
            row, missing = outcome
            table["rows" if job.system != TRUTH else "truth"].append(row)
            table["missing"] |= missing
        for name, reason in table["missing"].items():
            progress.warn(f"{name} is not computed: {reason}")
        _add_summary(table, config)
        if output is not None:
            from jean.evaluation.report import write_report

            write_report(table, output / "report.html")
        for part in ("rows", "truth"):
            table[part] = without_series(table[part])
        if output is not None:
            write_tables(table, output)
    return table


def _plan(results: list[Path], config: EvaluateConfig) -> Plan:
    """Pairs all results of all systems."""
    systems = ({"": [Path(path) for path in results]} if results else {}) | {
        name: [path] for name, path in config.systems.items()
    }
    if not systems:
        raise UsageError("no result to evaluate is given.", "Give an mp4, a clip folder, or a folder.")
    if TRUTH in systems or "" in config.systems:
        raise UsageError(f"a system must have a name, and not {TRUTH!r}.", "Write: --system NAME=DIR")
    partners = {role: getattr(config, role) for role in ROLES}
    return make_plan(systems, partners, config.pairs, {"audio": config.no_audio, "expression": config.no_expression})


def _files_of(plan: Plan) -> set[Path]:
    """Every file and clip that an evaluation reads."""
    return {path for job in plan.jobs for path in (job.result, *(getattr(job, role) for role in ROLES)) if path}


def _outcomes(
    jobs: list[Job], settings: Settings, output: Path | None, config: EvaluateConfig, progress: Progress
) -> Iterator[tuple[Job, Outcome]]:
    """Scores the jobs in order; an unusable file fails only its own job, except if it is the only result."""
    workers = config.workers if config.workers is not None or config.cluster is not None else 1
    engine = engine_for(workers, config.cluster, len(jobs), gpus=config.gpus)
    if not isinstance(engine, InProcess):
        for done in in_order(engine.run(_ScoreTask(settings, output), jobs, "evaluate", progress, len(jobs))):
            if done.output is None:
                assert done.error is not None
                if not isinstance(done.error, LostError):
                    raise done.error
                yield jobs[done.index], done.error
                continue
            outcome, warnings = done.output
            for warning in warnings:
                progress.warn(warning)
            yield jobs[done.index], outcome
        return
    n_results = sum(job.system != TRUTH for job in jobs)
    for job in jobs:
        try:
            yield job, score(job, settings, output, progress)
        except InputError as error:
            if n_results == 1 and job.system != TRUTH:
                raise
            yield job, error


class _WarningCollector(Silent):
    """Collects warnings in a worker process, for the parent to show."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        """Stores one warning."""
        self.warnings.append(message)


@dataclass(frozen=True)
class _ScoreTask:
    """Scores results in a worker; the outcome comes with its warnings."""

    settings: Settings
    output: Path | None

    def start(self) -> Callable[[Job], tuple[Outcome, list[str]]]:
        """Nothing is loaded before the first result: the metrics keep their networks."""
        return self.score

    def score(self, job: Job) -> tuple[Outcome, list[str]]:
        """Scores one result."""
        progress = _WarningCollector()
        try:
            require_here(path for path in (job.result, *(getattr(job, role) for role in ROLES)) if path is not None)
            return score(job, self.settings, self.output, progress), progress.warnings
        except InputError as error:
            return error, progress.warnings


def _settings(config: EvaluateConfig, metrics: Mapping[str, MetricOptions], plan: Plan, progress: Progress) -> Settings:
    """The settings shared by all jobs; raises errors that would otherwise stop the first job."""
    device = _device(config, metrics)
    tracker_version = ""
    videos = {path for job in plan.jobs for path in (job.result, job.reference, job.expression_source) if path}
    if not any(open_source(path).has_pictures for path in videos):
        progress.say("no result has pictures: the tracks of the clips are compared.")
    elif config.tracker == REFERENCE_TRACKER:
        for path in {job.reference for job in plan.jobs} | {job.expression_source for job in plan.jobs}:
            if path is not None and open_source(path).clip is None:
                raise UsageError(
                    f"--tracker reference needs clip folders as references, {path} is a video.",
                    "Prepare it, or choose a tracker.",
                )
    elif config.tracker == "truth":
        raise UsageError(
            "--tracker truth cannot track a rendered video.", "Choose mediapipe, face-alignment or reference."
        )
    else:
        provide(*adapters.weights_of("tracker", config.tracker), progress)
        tracker_version = str(adapters.create("tracker", config.tracker, device=device).version)
    sounds = {job.audio_source for job in plan.jobs if job.audio_source is not None}
    expressions = {job.expression_source or job.reference for job in plan.jobs} - {None}
    return Settings(
        metrics=metrics,
        tracker=config.tracker,
        tracker_version=tracker_version,
        fps=config.fps,
        reference_start_s=config.reference_start_s,
        device=device,
        sounds=tuple(sorted(sounds)),
        expressions=tuple(sorted(path for path in expressions if path is not None)),
    )


def _protocol(config: EvaluateConfig, settings: Settings) -> dict[str, Any]:
    """Everything that another evaluation must share for its numbers to be comparable."""
    options = {name: options.model_dump(mode="json") for name, options in settings.metrics.items()}
    return {
        "tracker": settings.tracker,
        "tracker_version": settings.tracker_version,
        "metrics": {name: registry.load(name).version for name in settings.metrics},
        "metric_options": {name: values for name, values in options.items() if values},
        "fps": settings.fps,
        "reference_start_s": settings.reference_start_s,
        "no_audio": list(config.no_audio),
        "no_expression": list(config.no_expression),
        "resamples": config.resamples,
        "seed": config.seed,
    }


def _device(config: EvaluateConfig, metrics: Mapping[str, MetricOptions]) -> str:
    """The device to use; "auto" imports torch only if the tracker or a metric may use it."""
    needs_torch = config.tracker not in (REFERENCE_TRACKER, "mediapipe") or any(
        registry.load(name).uses_torch for name in metrics
    )
    return "cpu" if config.device == "auto" and not needs_torch else pick_device(config.device)


def _truth_has_numbers(metrics: Mapping[str, MetricOptions], plan: Plan) -> bool:
    """Whether some metric can score a true video: not those that would compare it with itself."""
    separate_expression = any(job.expression_source not in (None, job.reference) for job in plan.jobs)
    kinds = [registry.load(name) for name in metrics]
    return any(not kind.needs_partner or (kind.role == "expression" and separate_expression) for kind in kinds)


def _unpaired_warnings(plan: Plan) -> Iterator[str]:
    scored = {str(job.result) for job in plan.jobs}
    for path, roles in plan.unpaired.items():
        consequence = "" if path in scored else " and is not scored"
        yield f"{path} has no partner ({', '.join(roles)}){consequence}."
    for role, paths in plan.unused.items():
        for path in paths:
            yield f"the {role} {path} has no result."


def _add_summary(table: dict[str, Any], config: EvaluateConfig) -> None:
    """Adds ``systems``, ``mean`` and ``mean_over``.

    Raises:
        InputError: no result could be scored.
    """
    rows, columns = table["rows"], table["columns"]
    if not rows:
        raise InputError(f"no result could be scored: {next(iter(table['failed'].values()))}")
    table["systems"] = summarise([*rows, *table["truth"]], columns, config.resamples, config.seed)
    overall = summarise([{**row, "system": ""} for row in rows], columns, 0, config.seed)[0]
    table["mean"], table["mean_over"] = overall["mean"], overall["over"]
