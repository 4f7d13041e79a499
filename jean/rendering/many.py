"""``jean render`` and ``jean act`` over many jobs, and one render by several workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jean.cluster.base import in_order
from jean.cluster.select import engine_for
from jean.errors import UsageError
from jean.jobs.kind import Handle, Kind
from jean.jobs.run import Recorder, run_jobs
from jean.jobs.table import absolute
from jean.progress import Progress
from jean.rendering.act import act
from jean.rendering.act_config import ActConfig
from jean.rendering.config import RenderConfig
from jean.rendering.head import LoadedHead, load_configured_head
from jean.rendering.render import render

Loader = Callable[[Path, RenderConfig, Progress], LoadedHead]


def render_all(run: Path | None, config: RenderConfig, output: Path, progress: Progress) -> dict[str, Any]:
    """``jean render``: one video, one video by several workers, or every job of a table.

    Args:
        run: run folder of ``train_nerf``; the column ``run`` of a table replaces it.
        config: the sources and options; ``jobs``, ``workers`` and ``cluster`` say what and where.
        output: the video; of a table, the folder or address of all results.
        progress: receives progress, messages and warnings.

    Returns:
        What ``render`` or ``run_jobs`` returns.

    Raises:
        UsageError: no run.
        JeanError: see ``render`` and ``run_jobs``.
    """
    if config.jobs is not None:
        return run_jobs(RenderJobs(config, run), config, output, progress)
    if run is None:
        raise UsageError("no run was given.", "Write: jean render RUN --audio FILE -o VIDEO")
    if config.workers is None and config.cluster is None:
        return render(run, config, output, progress)
    return render_shards(run, config, output, progress)


def render_shards(run: Path, config: RenderConfig, output: Path, progress: Progress) -> dict[str, Any]:
    """Renders one video by several workers, each its shard of the frames; the video is the same as by one.

    Frames pass through the folder beside the output, never through the cluster. This process writes the video.

    Raises:
        UsageError: a shard was given, too.
        JeanError: see ``render``.
    """
    if config.shard is not None:
        raise UsageError("--shard and --workers or --cluster contradict each other.", "Leave one of them out.")
    engine = engine_for(config.workers, config.cluster, None, config.cpus, config.gpus)
    count = getattr(engine, "count", 1)
    whole = config.model_copy(update=dict.fromkeys(("workers", "cluster")))
    whole = absolute(whole, RenderJobs.files + RenderJobs.paths)
    task = ShardTask(run.absolute(), whole, output.absolute())
    shards = [f"{number}/{count}" for number in range(1, count + 1)]
    progress.say(f"{count} shards with {engine.place}.")
    for done in in_order(engine.run(task, shards, "render shards", progress, count)):
        if done.error is not None:
            raise done.error
        for kind, message in done.output or [] if done.index == 0 else []:
            (progress.warn if kind == "warn" else progress.say)(message)
    return render(run, whole, output, progress)


@dataclass(frozen=True)
class ShardTask:
    """Renders shards of one video; a worker loads the head once."""

    run: Path
    config: RenderConfig
    output: Path

    def start(self) -> Callable[[str], list[tuple[str, str]]]:
        """The function that renders one shard and returns its messages."""
        load = LastHead().load

        def render_shard(shard: str) -> list[tuple[str, str]]:
            recorder = Recorder()
            config = self.config.model_copy(update={"shard": shard})
            render(self.run, config, self.output, recorder, load, join=False)
            return recorder.messages

        return render_shard


@dataclass(frozen=True)
class RenderJobs(Kind):
    """Jobs of ``jean render``: the columns ``run`` and keys of ``RenderConfig``."""

    config: RenderConfig
    run: Path | None

    title = "render jobs"
    columns = ("run",)
    files = ("run", "audio", "expression_timeline", "emotion_timeline", "certificate", "private_key")
    paths = ("expression", "motion", "lips", "pose", "gaze", "blink", "background")

    def start(self) -> Handle:
        """Keeps the last head."""
        load, given = LastHead().load, None if self.run is None else self.run.absolute()

        def handle(
            config: RenderConfig, columns: Mapping[str, str], output: Path, progress: Progress
        ) -> dict[str, Any]:
            run = columns.get("run", given)
            if run is None:
                raise UsageError("the job has no run.", "Add the column run, or give RUN.")
            return render(Path(run), config, output, progress, load)

        return handle


@dataclass(frozen=True)
class ActJobs(Kind):
    """Jobs of ``jean act``: the columns ``model`` and keys of ``ActConfig``."""

    config: ActConfig
    model: str

    title = "act jobs"
    columns = ("model",)
    files = ("audio", "emotion_timeline")
    paths = ("model", "pose", "expression", "gaze")
    keeps_finished = False

    def start(self) -> Handle:
        """The motion model is small and read for each job."""

        def handle(config: ActConfig, columns: Mapping[str, str], output: Path, progress: Progress) -> dict[str, Any]:
            return act(columns.get("model", self.model), config, output, progress)

        return handle


def act_all(motion: str | Path, config: ActConfig, output: Path, progress: Progress) -> dict[str, Any]:
    """``jean act``: one clip, or every job of a table; see ``act`` and ``run_jobs``."""
    if config.jobs is None:
        return act(motion, config, output, progress)
    model = str(Path(motion).absolute()) if Path(motion).exists() else str(motion)
    return run_jobs(ActJobs(config, model), config, output, progress)


class LastHead:
    """Keeps the head of the last render, so that a worker loads it once for many jobs."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._head: LoadedHead | None = None

    def load(self, run: Path, config: RenderConfig, progress: Progress) -> LoadedHead:
        """``load_configured_head``, or the head of the last call where it is the same."""
        if config.sampling == "skip":  # it changes the head for its own frames
            return load_configured_head(run, config, progress)
        changed = (run / "checkpoints").stat().st_mtime_ns if (run / "checkpoints").is_dir() else None
        key = (run.resolve(), changed, config.device, config.backend, config.precision)
        if self._head is None or key != self._key:
            self._head, self._key = load_configured_head(run, config, progress), key
        return replace(self._head, progress=progress)
