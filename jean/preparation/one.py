"""Prepares one video unless its clip is already finished, and reports the clip's figures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from jean.clips.clip import Clip
from jean.clips.meta import ClipMeta
from jean.errors import ArtefactError, InputError
from jean.files import folder_lock
from jean.jobs.config import PLACE
from jean.media import media_digest
from jean.preparation.config import PrepareConfig
from jean.preparation.extractors import Extractors, matting_spec
from jean.preparation.matte_quality import matte_warnings
from jean.preparation.store import Step
from jean.preparation.video import NO_SOUND, VERSION, VideoPreparation
from jean.progress import Progress

# Options that do not change the clip of one video.
_NOT_RECORDED = {
    *("preview", "device", "concat", "seconds", "like", "focal_tolerance", "min_valid"),
    *("match", "skip_unusable", "need_sound"),
    *PLACE,
}

NEARLY_ALL = 0.9  # fraction of frames with the face below which the result says so


def prepare_clip(
    video: Path, folder: Path, config: PrepareConfig, extractors: Extractors, progress: Progress
) -> dict[str, Any]:
    """Prepares one video.

    Args:
        video: the video.
        folder: the clip folder.
        config: options.
        extractors: those that ``config`` names.
        progress: receives progress, messages and warnings.

    Returns:
        The clip's figures.

    Raises:
        InputError: the video cannot be used.
        SetupError: the folder cannot be written or is in use; a package or weights are missing.
    """
    with folder_lock(folder):
        started = time.monotonic()
        digest = media_digest(video)
        options = config.model_dump(mode="json", exclude=_NOT_RECORDED)
        if _is_finished(folder, digest, config, options):
            if config.need_sound and Clip.open(folder, pictures=False).audio_path is None:
                raise InputError(NO_SOUND)
            progress.say(f"{folder}: already prepared.")
            steps: list[Step] = []
        else:
            steps = VideoPreparation(video, digest, folder, config, options, extractors, progress).run()
        if config.preview:
            from jean.preparation.preview import write_preview

            write_preview(folder)
        return _figures(folder, steps, time.monotonic() - started)


def is_prepared(video: Path, folder: Path, config: PrepareConfig) -> bool:
    """Whether ``folder`` holds the complete clip of this video with these options."""
    try:
        options = config.model_dump(mode="json", exclude=_NOT_RECORDED)
        return _is_finished(folder, media_digest(video), config, options)
    except InputError:
        return False


def _is_finished(folder: Path, digest: str, config: PrepareConfig, options: dict[str, Any]) -> bool:
    """Whether ``folder`` holds the complete clip of this video with these options and today's matting."""
    try:
        meta = Clip.open(folder, pictures=not config.tracks_only).meta
    except (InputError, ArtefactError):
        return False
    source = meta.source.sha256 if meta.source is not None else None
    found = source, meta.options, meta.prepare_version, meta.matting
    return found == (digest, options, VERSION, matting_spec(config))


def _figures(folder: Path, steps: list[Step], seconds: float) -> dict[str, Any]:
    """The figures of one clip for ``--json``."""
    meta = Clip.open(folder, pictures=False).meta
    document = meta.to_json()
    names = ("frames", "valid", "fps", "size_px", "crop", "no_face", "several_faces", "look", "mattes", "fit")
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
    warnings = matte_warnings(meta.mattes) if meta.mattes is not None else []
    if meta.valid is not None and meta.valid < NEARLY_ALL * meta.frames:
        warnings.append(f"the face is found in {meta.valid} of {meta.frames} frames ({meta.valid / meta.frames:.0%}).")
    return warnings
