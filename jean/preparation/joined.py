"""Many short videos become one clip (section 8.4.1): tracks of all, pictures only of those that fit together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jean.clips.clip import Clip
from jean.clips.concat import choose, join
from jean.errors import InputError
from jean.files import folder_lock
from jean.preparation.config import PrepareConfig
from jean.preparation.many import prepare_many
from jean.preparation.one import is_prepared
from jean.progress import Progress

SHORT_S = 12.0  # the paper joins about 15 s of each emotion; from less, a head sees too few mouths


def prepare_joined(
    folders: Mapping[Path, Path], output: Path, config: PrepareConfig, progress: Progress
) -> dict[str, Any]:
    """Prepares videos and joins those that fit together.

    Videos are chosen by their tracks, so that only the chosen ones need frames and mattes. A video that cannot be used
    is left out.

    Args:
        folders: clip folder of each video, in the order in which they were recorded.
        output: folder of the joined clip.
        config: options.
        progress: receives progress, messages and warnings.

    Returns:
        ``clips``, ``parts`` and ``failed``; see ``jean.preparation.prepare.prepare``.

    Raises:
        InputError: no video can be used, or none is like ``config.like``.
    """
    whole = config.model_copy(update={"concat": False, "crop": "centre", "like": None, "preview": False})
    tracks = whole.model_copy(update={"tracks_only": True})
    missing = {video: folder for video, folder in folders.items() if not is_prepared(video, folder, whole)}
    failed: dict[Path, str] = {}
    for outcome in prepare_many(missing, tracks, progress):
        if outcome.error is not None:
            progress.warn(f"{outcome.video.name}: {outcome.error}")
            failed[outcome.video] = outcome.error
    usable = {video: folder for video, folder in folders.items() if video not in failed}
    if not usable:
        raise InputError(f"none of {len(folders)} videos can be used.", f"The first: {next(iter(failed.values()))}")
    clips = [Clip.open(folder, pictures=False) for folder in usable.values()]
    reference = Clip.open(config.like, pictures=False) if config.like else None
    chosen, left_out = choose(clips, config.seconds, reference, config.focal_tolerance)
    if not chosen:
        reasons = "; ".join(f"{name}: {reasons[0]}" for name, reasons in left_out.items())
        raise InputError("no video is like the clip given by --like.", reasons)
    left_out |= {folders[video].name: [f"cannot be used: {error}"] for video, error in failed.items()}
    for name, reasons_of_one in left_out.items():
        progress.say(f"{name} is left out: {', '.join(reasons_of_one)}.")
    videos = list(usable)
    kept = {videos[i]: usable[videos[i]] for i in chosen}
    figures = []
    for outcome in prepare_many(kept, whole, progress):
        if outcome.figures is None:  # its tracks could be used
            raise InputError(f"{outcome.video.name}: {outcome.error}", "Remove it, and run the command again.")
        figures.append(outcome.figures)
    with folder_lock(output):
        joined = join([Clip.open(folder) for folder in kept.values()], output, left_out)
    duration_s = joined.frame_count / joined.fps
    if duration_s < min(SHORT_S, config.seconds):
        progress.warn(f"only {duration_s:.1f} s fit together; the paper joins {config.seconds:g} s.")
    clip = {
        "clip": str(output),
        "frames": joined.frame_count,
        "fps": joined.fps,
        "size_px": joined.size_px,
        "joined": [folder.name for folder in kept.values()],
        "left_out": left_out,
    }
    failures = [{"source": video.name, "error": error} for video, error in failed.items()]
    return {"clips": [clip], "parts": figures, "failed": failures}
