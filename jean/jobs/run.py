"""Handles the jobs of a table."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jean import remote
from jean.cluster.select import engine_for
from jean.config import load_config
from jean.errors import InputError, JeanError
from jean.files import exists
from jean.jobs.config import PLACE, JobsConfig
from jean.jobs.kind import Handle, Kind
from jean.jobs.record import Record, key_of
from jean.jobs.table import Job, absolute, read_jobs
from jean.progress import Advance, Progress, Silent


class Recorder:
    """A ``Progress`` that keeps the messages of a worker for the process that shows them."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []  # kind ("say" or "warn") and text

    def task(self, name: str, total: int | None) -> AbstractContextManager[Advance]:
        """Returns a context whose function does nothing: the parent counts jobs."""
        return Silent().task(name, total)

    def say(self, message: str) -> None:
        """Keeps one line of information."""
        self.messages.append(("say", message))

    def warn(self, message: str) -> None:
        """Keeps one line of warning."""
        self.messages.append(("warn", message))


@dataclass(frozen=True)
class JobTask:
    """The task of the engine: handles jobs of one kind."""

    kind: Kind

    def start(self) -> Callable[[Job], tuple[dict[str, Any], list[tuple[str, str]]]]:
        """Loads what all jobs share; a job becomes the facts of its result, and messages."""
        handle = self.kind.start()

        def do(job: Job) -> tuple[dict[str, Any], list[tuple[str, str]]]:
            recorder = Recorder()
            with tempfile.TemporaryDirectory(prefix="jean-job-") as scratch:
                return _do(self.kind, handle, job, Path(scratch), recorder), recorder.messages

        return do


def run_jobs(kind: Kind, place: JobsConfig, output: Path, progress: Progress) -> dict[str, Any]:
    """Handles every job of a table. A job that fails does not end the others.

    Args:
        kind: what to do.
        place: the table, and where to work.
        output: folder or address of the results; those in the table are relative to it.
        progress: receives progress, messages and warnings.

    Returns:
        ``jobs`` and ``done``, their numbers; ``results``, the facts of each in the order of the table; and ``failed``:
        ``line``, ``output``, ``error`` and ``exit_code`` of each.

    Raises:
        UsageError: the table has unknown columns, or two lines of one output.
        InputError: it cannot be read.
        SetupError: no worker can be had.
        JeanError: jobs have failed; of the kind of the first, with everything as facts.
    """
    assert place.jobs is not None
    kind = replace(kind, config=absolute(kind.config, kind.files + kind.paths))
    jobs = list(read_jobs(place.jobs, output, kind))
    workers = place.workers if place.cluster is not None or place.workers is not None else 1
    engine = engine_for(workers, place.cluster, len(jobs), place.cpus, place.gpus)
    progress.say(f"{len(jobs)} jobs with {engine.place}.")
    results: dict[int, dict[str, Any]] = {}
    errors: dict[int, JeanError] = {}
    for done in engine.run(JobTask(kind), jobs, kind.title, progress, len(jobs)):
        job = jobs[done.index]
        if done.output is None:
            errors[done.index] = done.error or JeanError("there is no result.")
            progress.warn(f"{job.output} (line {job.line}): {errors[done.index]}")
            continue
        results[done.index], messages = done.output
        for sort, message in messages:
            (progress.warn if sort == "warn" else progress.say)(f"{job.output}: {message}")
    failed = [
        {"line": jobs[n].line, "output": jobs[n].output, "error": str(errors[n]), "exit_code": errors[n].exit_code}
        for n in sorted(errors)
    ]
    facts = {
        "jobs": len(jobs),
        "done": len(results),
        "results": [results[n] for n in sorted(results)],
        "failed": failed,
    }
    if failed:
        first = errors[min(errors)]
        text = f"{len(failed)} of {len(jobs)} jobs failed, first {failed[0]['output']}: {first}"
        error = JeanError(text, "The others are done." if results else "", facts)
        error.exit_code = first.exit_code
        raise error
    return facts


def require_here(paths: Iterable[Path]) -> None:
    """Checks in a worker that it has the files that the driver has.

    Raises:
        InputError: one does not exist on this machine.
    """
    for path in paths:
        if not exists(path):
            raise InputError(
                f"{path} does not exist on {platform.node()}.",
                "Put it on storage that all machines share, under the same path.",
            )


def _do(kind: Kind, handle: Handle, job: Job, scratch: Path, progress: Progress) -> dict[str, Any]:
    """Handles one job, unless it is finished; returns the facts of its result."""
    named = [job.values[name] for name in kind.files if name in job.values]
    require_here(Path(text) for text in named if not remote.is_url(text))
    away = remote.is_url(job.output)
    record = None if kind.keeps_finished and not away else Record(job.output, key_of(kind, job))
    if record is not None and (facts := record.facts()) is not None:
        progress.say("finished: nothing to do.")
        return facts
    local = {
        name: str(remote.fetch(text, scratch / name)) if remote.is_url(text) else text
        for name, text in job.values.items()
    }
    given = {name: text for name, text in local.items() if name not in kind.columns}
    flags = {name: f"column {name}" for name in given}
    base = kind.config.model_dump(exclude_unset=True, exclude=set(PLACE))
    config = load_config(type(kind.config), None, None, flags, **(base | given))
    name = job.output.rstrip("/").rsplit("/", 1)[-1]
    target = scratch / "result" / name if away else Path(job.output)
    target.parent.mkdir(parents=True, exist_ok=True)
    facts = handle(config, local, target, progress) | {"output": job.output}
    if record is not None:
        sizes = remote.publish(scratch / "result", job.output.rstrip("/").rsplit("/", 1)[0]) if away else {}
        record.write(facts, sizes)
    return facts
