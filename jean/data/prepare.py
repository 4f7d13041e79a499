"""``jean prepare``: a video in, a clip folder out.

probe → look at some frames → track faces → choose the person and the crop → cut the frames → fit the
camera → matte → background → sound → ``clip.json``. Each step is kept under a key of all that decides it
(``jean.data.steps``): the same options do nothing, a changed option redoes what depends on it, and what
was interrupted goes on after its last finished step.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from jean.config import StageConfig
from jean.data import concat as joining
from jean.data import prepare_steps as work
from jean.data.clip import FORMAT, Clip
from jean.data.crop import SMALL_FACE, Crop, centre_crop
from jean.data.glance import glance
from jean.data.steps import Step, StepStore
from jean.data.tracks import Tracks
from jean.data.validate import SAMPLES, check, look
from jean.errors import ArtefactError, InputError, UsageError
from jean.features import registry
from jean.files import folder_lock, read_json, sha256, write_json
from jean.progress import Progress, Silent

_ARRAYS = ("arrays", "audio_features", "emotion_features")
VERSION = 1  # of the steps themselves: raised when the same input gives another clip


class PrepareConfig(StageConfig):
    """Options of ``prepare``.

    Attributes:
        size: side of the square frames, px; "auto" is 512 with a GPU and 256 without.
        fps: frames a second of the clip; the paper's is 25.
        tracker: face tracker.
        face: which person, where there are several: largest, left, right, or a number from the left.
        matting: how head, torso and background are told apart; "auto" is selfie where its weights
            are there, grabcut where they are not.
        audio: extractors of audio features.
        crop: "face", a steady square around the head, or "centre", the middle square of the picture (section
            8.1.1: the middle 1080 of 1920, with size 480).
        concat: make one clip of all videos that fit together (section 8.4.1, ``jean.data.concat``).
        seconds: how long that clip should be; like: a clip whose poses and focal length the others must have;
            focal_share: how far focal lengths may lie apart (those of a few seconds are fitted badly).
        emotion: extractors of emotion features, for ``train-expr``; none is asked for by default.
        device: where trackers that can use a GPU run.
        refine: measure the poses on the pictures after the landmarks (trackers with a dense mesh only).
        seed: of the draw of points that the camera fit leaves out to measure its error.
        preview: write a contact sheet and an overlay video too.
        tracks_only: keep landmarks, poses, expression, sound and features, no pictures: what every stage before the
            head reads, and sources of a render, in a hundredth of the room.
    """

    size: int | Literal["auto"] = Field("auto", ge=64, le=4096)
    fps: float = Field(25.0, gt=0, le=240)
    tracker: str = "mediapipe"
    face: str | None = None
    matting: str = "auto"
    audio: tuple[str, ...] = ("logmel",)
    crop: Literal["face", "centre"] = "face"
    concat: bool = False
    seconds: float = Field(15.0, gt=0)
    like: Path | None = None
    focal_share: float = Field(0.25, gt=0)
    emotion: tuple[str, ...] = ()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    refine: bool = True
    seed: int = Field(0, ge=0)
    preview: bool = False
    tracks_only: bool = False


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
    kept, dropped = joining.choose(
        clips, config.seconds, Clip.open(config.like) if config.like else None, config.focal_share
    )
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
        options = config.model_dump(
            mode="json", exclude={"preview", "device", "concat", "seconds", "like", "focal_share"}
        )
        if _is_done(folder, digest, options):
            progress.say(f"{folder}: already prepared.")
            steps: list[Step] = []
        else:
            steps = _make(video, digest, folder, config, options, progress)
        if config.preview:
            from jean.data.preview import write_preview

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


def _make(
    video: Path, digest: str, folder: Path, config: PrepareConfig, options: dict[str, Any], progress: Progress
) -> list[Step]:
    """Runs what is not yet done and writes ``clip.json``."""
    from jean.media import count_frames, probe

    info = probe(video, progress.warn)
    device = _device(config.device)
    size_px = config.size if config.size != "auto" else (512 if device == "cuda" else 256)
    tracker = registry.create("tracker", config.tracker, video=video, device=device)
    matting = None if config.tracks_only else registry.create("matting", _matting(config.matting))
    feelings = [registry.create("emotion", name, device=device) for name in config.emotion]
    extractors = [registry.create("audio", name) for name in config.audio]
    store = StepStore(folder, on_change=lambda: (folder / "clip.json").unlink(missing_ok=True))

    source = {"version": VERSION, "sha256": digest, "fps": config.fps}
    total = count_frames(info.duration_s, config.fps)
    using = {"tracker": tracker.name, "tracker_version": tracker.version}

    def first_look(_: Path) -> dict[str, Any]:
        seen = _look(video, info, tracker)
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
    heard = store.run(
        "sound",
        {"version": VERSION, "sha256": digest if spoken in (video, None) else sha256(Path(str(spoken)))},
        lambda out: work.sound(out, spoken or video, spoken is not None, progress),
        publish=["audio.wav"],
    )
    audio = None
    if heard.info["samples"]:
        audio = {
            each.name: {"version": each.version, "width": each.width, "window": each.window, "rate_hz": each.rate_hz}
            for each in extractors
        }
        store.run(
            "listen",
            {"sound": heard.key, "fps": config.fps, "frames": frame_count, "audio": audio},
            lambda out: work.listen(out, folder / "audio.wav", extractors, frame_count, config.fps, progress),
            publish=["audio_features.safetensors"],
        )
    else:
        store.drop("listen")

    published: tuple[str, ...] = ("audio.wav", *(f"{n}.safetensors" for n in _ARRAYS))
    if config.tracks_only:  # pictures were needed for the fit and the emotion features
        (folder / "clip.json").unlink(missing_ok=True)
        for name in ("plate", "matte", "crop"):
            store.drop(name)
    else:
        published = ("frames.u8", "matte.u8", *published)
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


def mead_sound(video: Path) -> Path | None:
    """The sound of a silent video in MEAD's layout: PERSON/audio/EMOTION/level_N/NAME; None where there is none."""
    parts = video.resolve().parts
    if len(parts) < 7 or parts[-5] != "video":
        return None
    folder = Path(*parts[:-5]) / "audio" / parts[-3] / parts[-2]
    return next(
        (folder / f"{video.stem}{end}" for end in (".m4a", ".wav") if (folder / f"{video.stem}{end}").is_file()), None
    )


def _look(video: Path, info: Any, tracker: Any) -> Any:
    frames = glance(video, info.duration_s, info.frame_count, SAMPLES)
    return look(frames, list(tracker.track(frames)))


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


def _device(wanted: str) -> str:
    """ "cuda" where it is wanted or there, else "cpu"."""
    if wanted != "auto":
        return wanted
    try:
        import torch
    except ImportError:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def _matting(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    from jean import weights

    return "selfie" if weights.locate("selfie_multiclass_256x256.tflite") is not None else "grabcut"


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
