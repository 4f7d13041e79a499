"""Preparing many videos: in several processes, and without stopping at a video that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jean.errors import ArtefactError, InputError, is_out_of_memory
from jean.pool import core_count, map_in_processes
from jean.preparation.config import PrepareConfig
from jean.preparation.extractors import Extractors
from jean.preparation.one import prepare_clip
from jean.progress import Advance, Progress, Silent


@dataclass
class Outcome:
    """What became of one video.

    Attributes:
        video: the video.
        figures: figures of the clip; None if the video cannot be used.
        error: why it cannot be used; None if it can.
        messages: (kind, text) of each message, in order; kind is "say" or "warn".
    """

    video: Path
    figures: dict[str, Any] | None = None
    error: str | None = None
    messages: list[tuple[str, str]] = field(default_factory=list)


class Recorder:
    """A ``Progress`` that keeps the messages of a worker for the process that shows them."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []

    def task(self, name: str, total: int | None) -> AbstractContextManager[Advance]:
        """Returns a context whose function does nothing: the parent counts videos."""
        return Silent().task(name, total)

    def say(self, message: str) -> None:
        """Keeps one line of information."""
        self.messages.append(("say", message))

    def warn(self, message: str) -> None:
        """Keeps one line of warning."""
        self.messages.append(("warn", message))


Job = tuple[Path, Path, PrepareConfig]

_of_worker: dict[str, Extractors] = {}  # the extractors of a worker process, by configuration


def prepare_many(folders: Mapping[Path, Path], config: PrepareConfig, progress: Progress) -> Iterator[Outcome]:
    """Prepares every video and yields its outcome, in the order of ``folders``.

    Args:
        folders: clip folder of each video.
        config: options; ``workers`` is the number of processes.
        progress: receives the messages of each video when it is finished. With one process, it also shows its progress.

    Raises:
        SetupError: the output cannot be written, or something is missing; the other videos would fail as well.
    """
    jobs: list[Job] = [(video, folder, config) for video, folder in folders.items()]
    if min(config.workers or core_count(), len(jobs)) == 1:
        extractors = Extractors(config)
        for video, folder, _ in jobs:
            yield _attempt(video, folder, config, extractors, progress)
        return
    for outcome in map_in_processes(_in_worker, jobs, "preparing", progress, config.workers, limit_threads=True):
        for kind, message in outcome.messages:
            (progress.warn if kind == "warn" else progress.say)(message)
        yield outcome


def _in_worker(job: Job) -> Outcome:
    """Prepares one video in a worker, which loads its extractors once."""
    video, folder, config = job
    key = config.model_dump_json()
    if key not in _of_worker:
        _of_worker[key] = Extractors(config)
    recorder = Recorder()
    outcome = _attempt(video, folder, config, _of_worker[key], recorder)
    outcome.messages = recorder.messages
    return outcome


def _attempt(video: Path, folder: Path, config: PrepareConfig, extractors: Extractors, progress: Progress) -> Outcome:
    try:
        return Outcome(video, prepare_clip(video, folder, config, extractors, progress))
    except (InputError, ArtefactError) as error:
        return Outcome(video, error=str(error))
    except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
        # A defect of this program that one video brings to light must not cost the others
        if is_out_of_memory(error):
            raise
        return Outcome(video, error=f"internal error ({type(error).__name__}: {error}).")
