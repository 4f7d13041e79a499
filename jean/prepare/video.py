"""One video to one clip folder, step by step.

probe → look at some frames → track faces → choose the person and the crop → cut the frames → fit the
camera → matte → background → sound → ``clip.json``. Each step is kept under a key of all that decides it
(``jean.prepare.store``): the same options do nothing, a changed option redoes what depends on it, and what
was interrupted goes on after its last finished step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.clip import FORMAT
from jean.clips.corpus import mead_sound
from jean.environment import pick_device
from jean.features import registry
from jean.features.base import AudioFeatures
from jean.files import sha256, write_json
from jean.prepare import steps as work
from jean.prepare.config import PrepareConfig
from jean.prepare.crop import SMALL_FACE, Crop, centre_crop
from jean.prepare.glance import glance
from jean.prepare.store import Step, StepStore
from jean.prepare.tracking.tracks import Tracks
from jean.prepare.validate import SAMPLES, check, look
from jean.progress import Progress

VERSION = 1  # of the steps themselves: raised when the same input gives another clip


def make_clip(
    video: Path, digest: str, folder: Path, config: PrepareConfig, options: dict[str, Any], progress: Progress
) -> list[Step]:
    """Runs what is not yet done and writes ``clip.json``.

    Args:
        video: the file; digest: its sha256.
        folder: the clip folder, locked.
        config: what to do; options: the part of it that is kept in ``clip.json``.
        progress: told how far it is.

    Returns:
        All steps, those too that were found done.

    Raises:
        InputError: the video cannot be used.
        SetupError: a package or weights are missing.
    """
    from jean.media import count_frames, probe

    info = probe(video, progress.warn)
    device = pick_device(config.device)
    size_px = config.size if config.size != "auto" else (512 if device == "cuda" else 256)
    tracker = registry.create("tracker", config.tracker, video=video, device=device)
    matting = None if config.tracks_only else registry.create("matting", _matting(config.matting))
    feelings = [registry.create("emotion", name, device=device) for name in config.emotion]
    extractors = [registry.create("audio", name) for name in config.audio]  # what is missing is told before any work
    store = StepStore(folder, on_change=lambda: (folder / "clip.json").unlink(missing_ok=True))

    source = {"version": VERSION, "sha256": digest, "fps": config.fps}
    total = count_frames(info.duration_s, config.fps)
    using = {"tracker": tracker.name, "tracker_version": tracker.version}

    def first_look(_: Path) -> dict[str, Any]:
        pictures = glance(video, info.duration_s, info.frame_count, SAMPLES)
        seen = look(pictures, list(tracker.track(pictures)))
        return {**seen.to_json(), "warnings": check(info, seen, config.fps, config.face)}

    looked = store.run("look", {**source, **using, "face": config.face}, first_look)
    for warning in looked.info["warnings"]:
        progress.warn(f"{video.name}: {warning}")

    tracked = store.run(
        "track", {**source, **using}, lambda out: work.track(out, video, config.fps, tracker, total, progress)
    )
    tracks = Tracks.open(tracked.folder, tracked.info)
    frame_count = len(tracks.times_s)

    chosen_step = store.run(
        "choose",
        {"track": tracked.key, "face": config.face},
        lambda out: work.choose(out, tracks, config.fps, config.face),
    )
    chosen = np.fromfile(chosen_step.folder / "chosen.i32", np.int32)
    crop = Crop(**chosen_step.info["crop"])
    if config.crop == "centre":
        crop = centre_crop(tracks.width_px, tracks.height_px)
    for warning in _choice_warnings(chosen_step.info, tracks, chosen, crop):
        progress.warn(f"{video.name}: {warning}")

    cut = store.run(
        "crop",
        {**source, "crop": crop.to_json(), "size": size_px, "frames": frame_count},
        lambda out: work.crop_frames(out, video, config.fps, crop, size_px, frame_count, progress),
        publish=["frames.u8"],
    )
    frames = np.memmap(folder / "frames.u8", np.uint8, "r", shape=(frame_count, size_px, size_px, 3))

    progress.say("fitting the camera")
    fitted = store.run(
        "fit",
        {"crop": cut.key, "choose": chosen_step.key, "size": size_px, "seed": config.seed, "refine": config.refine},
        lambda out: work.fit(out, tracks, chosen, crop, frames, config, tracker, progress),
        publish=["arrays.safetensors"],
    )
    landmarks = crop.points(tracks.values("landmarks", chosen), size_px)
    if matting is not None:
        matted = store.run(
            "matte",
            {"crop": cut.key, "choose": chosen_step.key, "matting": matting.name, "matting_version": matting.version},
            lambda out: work.matte(out, frames, landmarks, matting, progress),
            publish=["matte.u8"],
        )
        mattes = np.memmap(folder / "matte.u8", np.uint8, "r", shape=(frame_count, size_px, size_px, 2))
        store.run(
            "plate", {"matte": matted.key}, lambda out: work.plate(out, frames, mattes), publish=["background.png"]
        )
    emotion = {each.name: {"version": each.version, "width": each.width, "network": each.network} for each in feelings}
    if feelings:
        store.run(
            "feel",
            {"crop": cut.key, "choose": chosen_step.key, "emotion": emotion},
            lambda out: work.feel(out, frames, landmarks, feelings, progress),
            publish=["emotion_features.safetensors"],
        )
    else:
        store.drop("feel")
    spoken = video if info.audio_duration_s > 0 else mead_sound(video)
    if spoken not in (video, None):
        progress.say(f"{video.name}: the sound comes from {spoken}")
    heard = {"version": VERSION, "sha256": digest if spoken in (video, None) else sha256(Path(str(spoken)))}
    audio = _listen(store, heard, spoken, extractors, frame_count, config.fps, progress)

    published = {"audio.wav", "arrays.safetensors", "audio_features.safetensors", "emotion_features.safetensors"}
    if config.tracks_only:  # pictures were needed for the fit and the emotion features
        (folder / "clip.json").unlink(missing_ok=True)
        for name in ("plate", "matte", "crop"):
            store.drop(name)
    else:
        published |= {"frames.u8", "matte.u8"}
    files = {name: facts for step in store.steps for name, facts in step.files.items() if name in published}
    write_json(
        folder / "clip.json",
        {
            "format": FORMAT,
            "kind": "clip",
            "prepare_version": VERSION,
            "source": {
                "name": video.name,
                "sha256": digest,
                "width": info.width_px,
                "height": info.height_px,
                "fps": info.fps,
                "duration_s": info.duration_s,
                "audio_duration_s": info.audio_duration_s,
            },
            "fps": config.fps,
            "frames": frame_count,
            "size_px": size_px,
            "crop": crop.to_json(),
            "camera": fitted.info["camera"],
            "tracker": {"name": tracker.name, "version": tracker.version},
            "expression": fitted.info["expression"],
            "audio": audio,
            "emotion": emotion or None,
            "matting": {"name": matting.name, "version": matting.version} if matting else None,
            "pictures": not config.tracks_only,
            "valid": chosen_step.info["valid"],
            "no_face": chosen_step.info["no_face"],
            "several_faces": chosen_step.info["several_faces"],
            "look": {name: value for name, value in looked.info.items() if name != "warnings"},
            "fit": fitted.info["report"],
            "options": options,
            "files": files,
        },
    )
    return store.steps


def _listen(
    store: StepStore,
    heard: dict[str, Any],
    spoken: Path | None,
    extractors: list[AudioFeatures],
    frame_count: int,
    fps: float,
    progress: Progress,
) -> dict[str, Any] | None:
    """Writes the sound of ``spoken`` (``heard`` decides it) and its features; what these are, None without sound."""
    wave = store.run("sound", heard, lambda out: work.sound(out, spoken, progress), publish=["audio.wav"])
    if not wave.info["samples"]:
        store.drop("listen")
        return None
    audio = {
        each.name: {"version": each.version, "width": each.width, "window": each.window, "rate_hz": each.rate_hz}
        for each in extractors
    }
    store.run(
        "listen",
        {"sound": wave.key, "fps": fps, "frames": frame_count, "audio": audio},
        lambda out: work.listen(out, store.root / "audio.wav", extractors, frame_count, fps, progress),
        publish=["audio_features.safetensors"],
    )
    return audio


def _choice_warnings(choice: dict[str, Any], tracks: Tracks, chosen: np.ndarray, crop: Crop) -> list[str]:
    found = []
    missing = len(chosen) - choice["valid"]
    if missing:
        found.append(f"{missing} of {len(chosen)} frames do not show the face; they are masked.")
    if choice["successive"]:
        found.append(f"{choice['people']} faces follow one another; choose one with --face if they are two people.")
    boxes = tracks.values("landmarks", chosen[chosen >= 0])
    height = float(np.median(boxes[..., 1].max(axis=1) - boxes[..., 1].min(axis=1)))
    if height < SMALL_FACE * crop.side_px:
        found.append(f"the head wanders: the face is {height / crop.side_px:.0%} of the crop's height.")
    return found


def _matting(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    from jean.weights import store as weights

    return "selfie" if weights.locate("selfie_multiclass_256x256.tflite") is not None else "grabcut"
