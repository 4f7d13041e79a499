"""``jean prepare``: turns videos into clip folders, one clip per video or one clip of all of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jean.clips.clip import Clip
from jean.clips.concat import choose, join
from jean.clips.meta import CONTENT_FILES, META, ClipMeta
from jean.errors import ArtefactError, InputError, UsageError
from jean.files import folder_lock, refuse_url
from jean.media import is_sequence, media_digest
from jean.media.container import VIDEO_SUFFIXES
from jean.outputs import claim
from jean.preparation.config import PrepareConfig
from jean.preparation.extractors import needed_weights
from jean.preparation.store import FOLDER as WORK
from jean.preparation.store import Step
from jean.preparation.video import VERSION, VideoPreparation
from jean.progress import Progress, Silent
from jean.weights.provide import Consent, provide

# Options that do not change the clip of one video.
_NOT_RECORDED = {"preview", "device", "concat", "seconds", "like", "focal_tolerance", "min_valid"}

NEARLY_ALL = 0.9  # fraction of frames with the face below which the result says so


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
            ``output``, many become ``output``/STEM each.
        output: where to write.
        config: options.
        progress: receives progress, messages and warnings.
        consent: how the user agrees to a download of missing weights; None: with ``JEAN_AUTO_PULL=1`` only.

    Returns:
        {"clips": [figures of each clip], "failed": [{"source", "error"}], "seconds"}.

    Raises:
        InputError: a video cannot be used. Of many videos, the others are prepared first.
        UsageError: no video, two videos with the same folder, or options that exclude each other.
        SetupError: the output cannot be written or is in use; a package or weights are missing.
    """
    config, progress = config or PrepareConfig(), progress or Silent()
    started = time.monotonic()
    if config.tracks_only and (config.concat or config.preview):
        raise UsageError("--tracks-only stores no pictures for --concat or --preview.", "Leave one of them out.")
    folders = clip_folders(videos, Path(output))
    _claim(folders, [Path(output)] if config.concat else folders.values())  # before weights are downloaded for nothing
    provide(*needed_weights(config), progress, consent)
    if config.concat:
        return _prepare_joined(videos, Path(output), config, progress)
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
    _claim([*folders, *([config.like] if config.like is not None else [])], [output, *folders.values()])
    figures = [prepare_clip(video, folder, each, progress) for video, folder in folders.items()]
    clips = [Clip.open(folder) for folder in folders.values()]
    reference = Clip.open(config.like) if config.like else None
    chosen, left_out = choose(clips, config.seconds, reference, config.focal_tolerance)
    if not chosen:
        reasons = "; ".join(f"{name}: {reasons[0]}" for name, reasons in left_out.items())
        raise InputError("no video is like the clip given by --like.", reasons)
    for name, reasons_of_one in left_out.items():
        progress.say(f"{name} is left out: {', '.join(reasons_of_one)}.")
    with folder_lock(output):
        joined = join([clips[i] for i in chosen], output, left_out)
    clip = {
        "clip": str(output),
        "frames": joined.frame_count,
        "fps": joined.fps,
        "size_px": joined.size_px,
        "joined": [clips[i].folder.name for i in chosen],
        "left_out": left_out,
    }
    return {"clips": [clip], "parts": figures, "failed": [], "seconds": round(time.monotonic() - started, 2)}


def _claim(inputs: Iterable[Path], folders: Iterable[Path]) -> None:
    """Checks that clips can be written to ``folders`` and destroy no input; see ``jean.outputs.claim``."""
    folders = list(folders)
    files = [folder / name for folder in folders for name in (META, *CONTENT_FILES)]
    claim(inputs, files=files, folders=folders, exclusive=[folder / WORK for folder in folders])


def clip_folders(videos: Sequence[str | Path], output: Path) -> dict[Path, Path]:
    """The clip folder of each video. A folder stands for the videos in it; their clips get folders of their own.

    Raises:
        InputError: a video does not exist, or a folder holds none.
        UsageError: no video, or two videos with the same folder.
    """
    if not videos:
        raise UsageError("no video was given.", "Run: jean prepare VIDEO -o DIR")
    paths: list[Path] = []
    for given in map(Path, videos):
        refuse_url(given)
        if given.is_dir() and not is_sequence(given):
            paths += _videos_in(given)
        elif given.exists():
            paths.append(given)
        else:
            raise InputError(f"there is no file {given}.", "Check the path.")
    if paths == [Path(videos[0])]:
        return {paths[0]: output}
    stems = [path.stem for path in paths]
    repeated = sorted({stem for stem in stems if stems.count(stem) > 1})
    if repeated:
        raise UsageError(f"two videos are called {repeated[0]}.", "Prepare them into two folders.")
    return {path: output / path.stem for path in paths}


def _videos_in(folder: Path) -> list[Path]:
    """The videos and image sequences in a folder, sorted by name.

    Raises:
        InputError: there are none.
    """
    found = sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".")
        and ((path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES) or (path.is_dir() and is_sequence(path)))
    )
    if not found:
        raise InputError(f"{folder} holds no video and no numbered images.", "Give a video, or a folder of videos.")
    return found


def prepare_clip(video: Path, folder: Path, config: PrepareConfig, progress: Progress) -> dict[str, Any]:
    """Prepares one video; see ``prepare``. Returns the clip's figures."""
    with folder_lock(folder):
        started = time.monotonic()
        digest = media_digest(video)
        options = config.model_dump(mode="json", exclude=_NOT_RECORDED)
        if _is_finished(folder, digest, options):
            progress.say(f"{folder}: already prepared.")
            steps: list[Step] = []
        else:
            steps = VideoPreparation(video, digest, folder, config, options, progress).run()
        if config.preview:
            from jean.preparation.preview import write_preview

            write_preview(folder)
        return _figures(folder, steps, time.monotonic() - started)


def _is_finished(folder: Path, digest: str, options: dict[str, Any]) -> bool:
    """Whether ``folder`` holds the complete clip of this video with these options."""
    try:
        meta = Clip.open(folder, pictures=not options["tracks_only"]).meta
    except (InputError, ArtefactError):
        return False
    source = meta.source.sha256 if meta.source is not None else None
    return (source, meta.options, meta.prepare_version) == (digest, options, VERSION)


def _figures(folder: Path, steps: list[Step], seconds: float) -> dict[str, Any]:
    """The figures of one clip for ``--json``."""
    meta = Clip.open(folder, pictures=False).meta
    document = meta.to_json()
    names = ("frames", "valid", "fps", "size_px", "crop", "no_face", "several_faces", "look", "fit")
    return {
        "clip": str(folder),
        **{name: document.get(name) for name in names},
        "tracker": meta.tracker.name,
        "matting": meta.matting.name if meta.matting else None,
        "sound": meta.audio is not None,
        "warnings": clip_warnings(meta),
        "steps_run": [step.name for step in steps if not step.reused],
        "steps_reused": [step.name for step in steps if step.reused],
        "step_seconds": {step.name: step.seconds for step in steps if not step.reused},
        "seconds": round(seconds, 2),
    }


def clip_warnings(meta: ClipMeta) -> list[str]:
    """What a user of the clip should know, one line each."""
    if meta.valid is None or meta.valid >= NEARLY_ALL * meta.frames:
        return []
    return [f"the face is found in {meta.valid} of {meta.frames} frames ({meta.valid / meta.frames:.0%})."]
