"""Preparing many videos: in several processes, and without stopping at a video that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jean.cluster.base import LostError, in_order
from jean.cluster.local import InProcess
from jean.cluster.select import engine_for
from jean.errors import ArtefactError, InputError, SetupError, is_out_of_memory
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


@dataclass(frozen=True)
class PrepareTask:
    """Prepares (video, clip folder) pairs; a worker loads its extractors once."""

    config: PrepareConfig

    def start(self) -> Callable[[tuple[Path, Path]], Outcome]:
        """Loads the extractors."""
        extractors = Extractors(self.config)

        def prepare_pair(pair: tuple[Path, Path]) -> Outcome:
            recorder = Recorder()
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
    engine = engine_for(config.workers, config.cluster, len(pairs), gpus=config.gpus)
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
