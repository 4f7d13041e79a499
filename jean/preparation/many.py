"""Preparing many videos: in several processes, and without stopping at a video that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jean.cluster.base import LostError, in_order
from jean.cluster.local import InProcess, core_count
from jean.cluster.select import engine_for
from jean.errors import ArtefactError, InputError, SetupError, UsageError, is_out_of_memory
from jean.jobs.kind import Handle, Kind
from jean.jobs.run import Recorder, require_here, run_jobs
from jean.preparation.config import PrepareConfig
from jean.preparation.extractors import Extractors
from jean.preparation.one import prepare_clip
from jean.progress import Progress


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


@dataclass(frozen=True)
class PrepareTask:
    """Prepares (video, clip folder) pairs; a worker loads its extractors once."""

    config: PrepareConfig

    def start(self) -> Callable[[tuple[Path, Path]], Outcome]:
        """Loads the extractors."""
        extractors = Extractors(self.config)

        def prepare_pair(pair: tuple[Path, Path]) -> Outcome:
            recorder = Recorder()
            try:
                require_here(pair[:1])
            except InputError as error:
                return Outcome(pair[0], error=str(error))
            outcome = _attempt(*pair, self.config, extractors, recorder)
            outcome.messages = recorder.messages
            return outcome

        return prepare_pair


def prepare_many(folders: Mapping[Path, Path], config: PrepareConfig, progress: Progress) -> Iterator[Outcome]:
    """Prepares every video and yields its outcome, in the order of ``folders``.

    Args:
        folders: clip folder of each video.
        config: options; ``workers`` and ``cluster`` say where.
        progress: receives the messages of each video when it is finished. With one process, it also shows its progress.

    Raises:
        SetupError: the output cannot be written, or something is missing; the other videos would fail as well.
    """
    pairs = list(folders.items())
    if config.cluster is not None:  # workers have another working folder
        pairs = [(video.absolute(), folder.absolute()) for video, folder in pairs]
    engine = engine_for(config.workers, config.cluster, len(pairs), config.cpus, config.gpus)
    if isinstance(engine, InProcess):
        extractors = Extractors(config)
        for video, folder in pairs:
            yield _attempt(video, folder, config, extractors, progress)
        return
    progress.say(f"preparing {len(pairs)} videos with {engine.place}.")
    for done in in_order(engine.run(PrepareTask(config), pairs, "preparing", progress, len(pairs))):
        if done.error is not None and isinstance(done.error, SetupError) and not isinstance(done.error, LostError):
            raise done.error
        outcome = done.output or Outcome(pairs[done.index][0], error=str(done.error))
        for kind, message in outcome.messages:
            (progress.warn if kind == "warn" else progress.say)(message)
        yield outcome


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


@dataclass(frozen=True)
class PrepareJobs(Kind):
    """Jobs of ``jean prepare``: the columns ``video`` and keys of ``PrepareConfig``."""

    config: PrepareConfig

    title = "prepare jobs"
    columns = ("video",)
    files = ("video",)

    def start(self) -> Handle:
        """Keeps the last extractors."""
        last: list[tuple[PrepareConfig, Extractors]] = []

        def handle(
            config: PrepareConfig, columns: Mapping[str, str], output: Path, progress: Progress
        ) -> dict[str, Any]:
            if "video" not in columns:
                raise UsageError("the job has no video.", "Add the column video.")
            if not last or last[0][0] != config:
                last[:] = [(config, Extractors(config))]
            return prepare_clip(Path(columns["video"]), output, config, last[0][1], progress)

        return handle


def prepare_jobs(config: PrepareConfig, output: Path, progress: Progress) -> dict[str, Any]:
    """Prepares a clip for every job of a table; see ``run_jobs``.

    Raises:
        UsageError: options that join or choose videos.
        JeanError: see ``run_jobs``.
    """
    if config.concat or config.match is not None:
        raise UsageError("--jobs prepares each video alone.", "Leave --concat and --match out.")
    local = config.cluster is None and config.workers is None
    place = config.model_copy(update={"workers": core_count()}) if local else config
    return run_jobs(PrepareJobs(config), place, output, progress)
