"""``jean prepare``: videos in, clip folders out, one of each (``prepare_video``) or one of all (``concat``)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jean.clips import concat as joining
from jean.clips.clip import Clip
from jean.errors import ArtefactError, InputError, UsageError
from jean.files import folder_lock, read_json, sha256
from jean.prepare.config import PrepareConfig
from jean.prepare.store import Step
from jean.prepare.video import VERSION, make_clip
from jean.progress import Progress, Silent


def prepare(
    videos: Sequence[str | Path],
    output: str | Path,
    config: PrepareConfig | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Prepares one or many videos.

    Args:
        videos: files; one video becomes the clip folder ``output``, many become ``output``/STEM each.
        output: where to write.
        config: options.
        progress: told how far it is.

    Returns:
        {"clips": [figures of each clip], "failed": [{"source", "error"}], "seconds"}.

    Raises:
        InputError: the only video, or any of many (after the others are done), cannot be used.
        UsageError: no video, or two of many would share a folder.
        SetupError: the output cannot be written or is in use; a package or weights are missing.
    """
    config, progress = config or PrepareConfig(), progress or Silent()
    started = time.monotonic()
    if config.tracks_only and (config.concat or config.preview):
        raise UsageError("--tracks-only keeps no pictures for --concat or --preview.", "Leave one of them away.")
    if config.concat:
        return _prepare_joined(videos, Path(output), config, progress)
    folders = clip_folders(videos, Path(output))
    clips: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for video, folder in folders.items():
        try:
            clips.append(prepare_clip(video, folder, config, progress))
        except InputError as error:
            if len(folders) == 1:
                raise
            progress.warn(f"{video.name}: {error}")
            failed.append({"source": video.name, "error": str(error)})
    if failed:
        raise InputError(
            f"{len(failed)} of {len(folders)} videos cannot be used, first {failed[0]['source']}: {failed[0]['error']}",
            "The others are prepared.",
        )
    return {"clips": clips, "failed": failed, "seconds": round(time.monotonic() - started, 2)}


def _prepare_joined(
    videos: Sequence[str | Path], output: Path, config: PrepareConfig, progress: Progress
) -> dict[str, Any]:
    """Prepares each video below ``output``/.parts and joins those that fit together."""
    started = time.monotonic()
    parts = output / ".parts"
    each = config.model_copy(update={"concat": False, "crop": "centre", "like": None, "preview": False})
    folders = clip_folders(videos, parts) if len(videos) > 1 else {Path(videos[0]): parts / Path(videos[0]).stem}
    figures = [prepare_clip(video, folder, each, progress) for video, folder in folders.items()]
    clips = [Clip.open(folder) for folder in folders.values()]
    kept, dropped = joining.choose(clips, joining.SECONDS, Clip.open(config.like) if config.like else None)
    if not kept:
        raise InputError(
            "no video is like the clip given by --like.", "; ".join(f"{n}: {w[0]}" for n, w in dropped.items())
        )
    for name, why in dropped.items():
        progress.say(f"{name} is left out: {', '.join(why)}.")
    facts = {"joined": [clips[i].folder.name for i in kept], "left_out": dropped}
    with folder_lock(output):
        joining.join([clips[i] for i in kept], output, facts)
    joined = Clip.open(output)
    return {
        "clips": [
            {"clip": str(output), "frames": joined.frame_count, "fps": joined.fps, "size_px": joined.size_px, **facts}
        ],
        "parts": figures,
        "failed": [],
        "seconds": round(time.monotonic() - started, 2),
    }


def clip_folders(videos: Sequence[str | Path], output: Path) -> dict[Path, Path]:
    """The clip folder of each video.

    Raises:
        InputError: a video does not exist.
        UsageError: no video, or two would share a folder.
    """
    paths = [Path(video) for video in videos]
    if not paths:
        raise UsageError("no video was given.", "Run: jean prepare VIDEO -o DIR")
    for path in paths:
        if not path.is_file():
            raise InputError(f"there is no file {path}.", "Check the path.")
    if len(paths) == 1:
        return {paths[0]: output}
    stems = [path.stem for path in paths]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise UsageError(f"two videos are called {twice[0]}.", "Prepare them into two folders.")
    return {path: output / path.stem for path in paths}


def prepare_clip(video: Path, folder: Path, config: PrepareConfig, progress: Progress) -> dict[str, Any]:
    """Prepares one video; see ``prepare``. Returns its figures."""
    with folder_lock(folder):
        started = time.monotonic()
        digest = sha256(video)
        options = config.model_dump(mode="json", exclude={"preview", "device", "concat", "like"})
        if _is_done(folder, digest, options):
            progress.say(f"{folder}: already prepared.")
            steps: list[Step] = []
        else:
            steps = make_clip(video, digest, folder, config, options, progress)
        if config.preview:
            from jean.prepare.preview import write_preview

            write_preview(folder)
        return _figures(folder, steps, time.monotonic() - started)


def _is_done(folder: Path, digest: str, options: dict[str, Any]) -> bool:
    """Whether ``folder`` holds the whole clip of this video with these options."""
    try:
        meta = Clip.open(folder, pictures=not options["tracks_only"]).meta
        return (
            meta["source"]["sha256"] == digest
            and meta["options"] == options
            and meta["prepare_version"] == VERSION
            and all((folder / name).stat().st_size == facts["bytes"] for name, facts in meta["files"].items())
        )
    except (InputError, ArtefactError, KeyError, OSError):
        return False


def _figures(folder: Path, steps: list[Step], seconds: float) -> dict[str, Any]:
    """What ``--json`` prints for one clip."""
    meta = read_json(folder / "clip.json")
    return {
        "clip": str(folder),
        **{name: meta[name] for name in ("frames", "valid", "fps", "size_px", "crop", "no_face", "several_faces")},
        "tracker": meta["tracker"]["name"],
        "matting": meta["matting"]["name"] if meta["matting"] else None,
        "sound": meta["audio"] is not None,
        "look": meta["look"],
        "fit": meta["fit"],
        "steps_run": [step.name for step in steps if not step.reused],
        "steps_reused": [step.name for step in steps if step.reused],
        "step_seconds": {step.name: step.seconds for step in steps if not step.reused},
        "seconds": round(seconds, 2),
    }
