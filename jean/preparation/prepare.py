"""``jean prepare``: turns videos into clip folders, one clip per video or one clip of all of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jean.clips.meta import CONTENT_FILES, META
from jean.errors import InputError, UsageError
from jean.outputs import claim
from jean.preparation.config import PrepareConfig
from jean.preparation.extractors import Extractors, needed_weights
from jean.preparation.joined import prepare_joined
from jean.preparation.many import prepare_jobs, prepare_many
from jean.preparation.one import prepare_clip
from jean.preparation.store import FOLDER as WORK
from jean.preparation.videos import clip_folders
from jean.progress import Progress, Silent
from jean.weights.provide import Consent, provide


def prepare(
    videos: Sequence[str | Path],
    output: str | Path,
    config: PrepareConfig | None = None,
    progress: Progress | None = None,
    consent: Consent | None = None,
) -> dict[str, Any]:
    """Prepares one or many videos.

    Args:
        videos: video files, folders of numbered images, or folders of these. One video becomes the clip folder
            ``output``, many become ``output``/STEM each; with ``match`` they keep the structure of their folder.
        output: where to write.
        config: options.
        progress: receives progress, messages and warnings.
        consent: how the user agrees to a download of missing weights; None: with ``JEAN_AUTO_PULL=1`` only.

    Returns:
        {"clips": [figures of each clip], "failed": [{"source", "error"}], "seconds"}.

    Raises:
        InputError: a video cannot be used. Of many videos, the others are prepared first; with ``skip_unusable``, only
            if none can be used.
        UsageError: no video, two videos with the same folder, or options that exclude each other.
        SetupError: the output cannot be written or is in use; a package or weights are missing.
    """
    config, progress = config or PrepareConfig(), progress or Silent()
    output, started = Path(output), time.monotonic()
    if config.jobs is not None:
        if videos:
            raise UsageError("videos and --jobs contradict each other.", "Name the videos in the table.")
        provide(*needed_weights(config), progress, consent)
        return {**prepare_jobs(config, output, progress), "seconds": round(time.monotonic() - started, 2)}
    if config.tracks_only and (config.concat or config.preview):
        raise UsageError("--tracks-only stores no pictures for --concat or --preview.", "Leave one of them out.")
    folders = clip_folders(videos, output, config.match)
    if config.concat:
        parts = output / ".parts"
        folders = {
            video: parts / (folder.relative_to(output) if folder != output else video.stem)
            for video, folder in folders.items()
        }
    inputs = [*folders, *([config.like] if config.concat and config.like is not None else [])]
    # before weights are downloaded for nothing
    _claim(inputs, [*([output] if config.concat else []), *folders.values()])
    provide(*needed_weights(config), progress, consent)
    if config.concat:
        result = prepare_joined(folders, output, config, progress)
    elif len(folders) == 1:
        ((video, folder),) = folders.items()
        result = {"clips": [prepare_clip(video, folder, config, Extractors(config), progress)], "failed": []}
    else:
        result = _prepare_each(folders, config, progress)
    return {**result, "seconds": round(time.monotonic() - started, 2)}


def _prepare_each(folders: dict[Path, Path], config: PrepareConfig, progress: Progress) -> dict[str, Any]:
    """Prepares every video as a clip of its own."""
    clips: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for outcome in prepare_many(folders, config, progress):
        if outcome.figures is not None:
            clips.append(outcome.figures)
            continue
        progress.warn(f"{outcome.video.name}: {outcome.error}")
        failed.append({"source": str(outcome.video) if config.match else outcome.video.name, "error": outcome.error})
    result = {"clips": clips, "failed": failed}
    if failed:
        text = f"{len(failed)} of {len(folders)} videos cannot be used"
        if not config.skip_unusable or not clips:
            first = f"first {failed[0]['source']}: {failed[0]['error']}"
            remedy = "The others are prepared." if clips else ""
            raise InputError(f"{text}, {first}", remedy, facts=result)
        progress.warn(f"{text} and are skipped.")
    return result


def _claim(inputs: Iterable[Path], folders: Iterable[Path]) -> None:
    """Checks that clips can be written to ``folders`` and destroy no input; see ``jean.outputs.claim``."""
    folders = list(folders)
    files = [folder / name for folder in folders for name in (META, *CONTENT_FILES)]
    claim(inputs, files=files, folders=folders, exclusive=[folder / WORK for folder in folders])
