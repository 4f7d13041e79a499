"""Renders a video with sound from a trained head and three sources: speech, expression and pose."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jean.checkpoint import load_checkpoint
from jean.clips.clip import Clip, is_clip
from jean.drivers.method import Method
from jean.drivers.person import NAME as PERSON
from jean.drivers.person import read_person
from jean.drivers.voice import detector_name
from jean.errors import InputError, UsageError
from jean.files import exists, folder_lock, refuse_url
from jean.jobs.config import PLACE
from jean.media import media_digest, open_writer, read_audio_native
from jean.media.write import check_output
from jean.models.frame import render_frame, render_opacity
from jean.models.talking_head import TalkingHead
from jean.names import suggestion
from jean.progress import Progress
from jean.provenance import manifest, metadata_tags
from jean.rendering.config import RenderConfig
from jean.rendering.drive import Drive
from jean.rendering.eyes import eye_clips
from jean.rendering.frame_store import FrameStore
from jean.rendering.head import LoadedHead, load_configured_head
from jean.rendering.lips import prior_path
from jean.rendering.marks import Marks
from jean.rendering.motion import motion_source
from jean.rendering.pipeline import in_order
from jean.rendering.result_files import ResultFiles

# Values of options that name no file
NAMES_OF = {"background": ("white", "source"), "pose": ("still",), "gaze": ("at-camera",), "blink": ("off",)}


def render(
    run: Path,
    config: RenderConfig,
    output: Path,
    progress: Progress,
    load: Callable[[Path, RenderConfig, Progress], LoadedHead] = load_configured_head,
    join: bool = True,
) -> dict[str, Any]:
    """Renders a video with sound.

    Frames are stored as PNG files beside the output until the video is complete. An interrupted render therefore
    resumes where it stopped, and several processes can render shards of one video.

    Args:
        run: run folder of ``train_nerf``.
        config: the sources and options.
        output: path of the video or GIF; without a suffix, a folder for PNG frames and a wav.
        progress: receives progress, warnings and messages.
        load: loads the head.
        join: whether the shard that finishes last writes the video; otherwise somebody renders all frames later.

    Returns:
        ``output``, ``frames``, ``fps``, ``size``, ``seconds``, ``frames_per_s``, ``finished``, ``backend``,
        ``precision``, ``sampling``, and ``reductions`` (per driver the fractions ``mean``, ``largest`` and ``frames``,
        see ``Reduction``).

    Raises:
        UsageError: no speech, an invalid shard, or an output that is not a video.
        InputError: a source without sound, face or poses.
        ArtefactError: a source that was prepared with other features than the run's, or a damaged run.
    """
    began = time.perf_counter()
    if config.audio is None:
        raise UsageError("no speech was given.", "Add --audio FILE.")
    check_output(output)
    sources, files = _sources(config), ResultFiles.of(config, output)
    checkpoint, person = load_checkpoint(run, stage="nerf", warn=progress.warn), read_person(run)
    files.claim([run, *sources.values()])
    prior = prior_path(config, checkpoint, Method.of_run(checkpoint))
    inputs = sources | {"head": checkpoint.tensors_path, "person": run / PERSON}
    inputs |= {"lips": prior} if prior is not None else {}
    moving = motion_source(config)
    inputs |= {"motion": moving} if moving is not None else {}
    if config.background == "source" and is_clip(person.clip):
        inputs["training-clip"] = person.clip
    options = _recorded(config, sources)
    hashes = {name: _digest(path) for name, path in inputs.items()}
    key: dict[str, Any] = {"inputs": hashes, "options": options}
    if config.silence_gate:
        key["voice_detector"] = detector_name()
    key["sha256"] = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    finished = files.finished(key["sha256"])
    if finished is not None:
        progress.say(f"{output} is finished: nothing to do.")
        return finished | {"output": str(files.video)}
    head = load(run, config, progress)
    drive, model, backend = head.gather(config), head.model, head.implementation
    fps, size = float(config.fps or head.fps), drive.size_px
    marks = Marks.of(config, output, fps, size)
    progress.say(f"backend: {backend}, {config.precision}; lips: {'audio encoder' if prior is None else 'lip prior'}.")
    backgrounds = head.backgrounds(drive, config.background)
    part = _part(config.shard, len(drive))
    with folder_lock(files.work / f"part-{(config.shard or '1/1').replace('/', '-of-')}"):
        store = FrameStore(files.work, key, len(drive), size, config.depth, config.layers)
        missing = sum(not store.has(index) for index in part)
        if config.sampling == "skip":
            progress.say(_skip_empty(model, drive))

        def stored_frame(index: int) -> np.ndarray:
            stored = store.read(index) if store.has(index) else None
            if stored is not None:
                return stored
            frame = render_frame(model, drive.frame(index), backgrounds.at(index))
            opacity = render_opacity(model, drive.frame(index), size) if config.layers else None
            rgb = marks.apply(frame.rgb, index)
            store.write(index, rgb, frame.depth_cm, opacity)
            return rgb

        def report() -> dict[str, Any]:
            seconds = time.perf_counter() - began
            timing = {"seconds": round(seconds, 2), "frames_per_s": round(missing / seconds, 2)}
            return {"output": str(files.video)} | result | timing | {"finished": store.complete()}

        result: dict[str, Any] = {"frames": len(drive), "fps": fps, "size": size, "backend": backend}
        result |= {"precision": config.precision, "sampling": config.sampling}
        result["reductions"] = {name: asdict(reduction) for name, reduction in drive.reductions.items()}
        frames = in_order(stored_frame, part, _workers(model, backend))
        if config.shard is not None:
            with progress.task("render", len(part)) as advance, closing(frames):
                for _ in frames:
                    advance(1)
            if not store.complete() or not join:
                progress.say(f"{store.count()} of {len(drive)} frames are rendered; render the other shards.")
                return report()
            frames = (stored_frame(index) for index in range(len(drive)))
        with folder_lock(files.work / "encode"):
            files.clear()
            document = manifest("render", inputs, options, result | {"key": key["sha256"]})

            def before_rename(complete: Path) -> None:
                if marks.signer is not None:
                    marks.signer.sign(complete, output.name, document)
                files.publish(store, document, complete)

            _encode(frames, len(drive), output, config, fps, size, document, before_rename, progress)
            final = report()
            store.remove()
    return final


def _workers(model: TalkingHead, backend: str) -> int:
    """Number of frames to render at the same time: one per thread with the CPU's kernels, otherwise one."""
    return torch.get_num_threads() if backend == "native" and model.device.type == "cpu" else 1


@torch.no_grad()
def _skip_empty(model: TalkingHead, drive: Drive) -> str:
    """Switches the head to few-sample rendering, and returns one line that describes the sampling.

    Empty space is found from 24 frames of the whole result, so that all shards sample alike.

    Raises:
        UsageError: the head cannot skip empty space, or the compiled kernels are not in use.
    """
    indices = np.unique(np.linspace(0, len(drive) - 1, 24).round().astype(int))
    return model.head.skip_empty(torch.cat([model.condition(drive.frame(int(index))) for index in indices]))


def _sources(config: RenderConfig) -> dict[str, Path]:
    """Files and clips that options name, by option name.

    Raises:
        UsageError: options that contradict each other.
        InputError: a file does not exist.
    """
    if config.expression is not None and config.expression_timeline is not None:
        raise UsageError("--expression and --expression-timeline contradict each other.", "Give one of them.")
    inputs = {
        "audio": config.audio,
        "expression-timeline": config.expression_timeline,
        "emotion-timeline": config.emotion_timeline,
        "certificate": config.certificate,
    }
    if config.expression is not None and exists(config.expression):
        inputs["expression"] = config.expression  # otherwise it is a name
    if config.pose not in (None, "still"):
        inputs["pose"] = Path(str(config.pose))
    for name, value in eye_clips(config).items():
        inputs[name] = value
    if config.background not in ("white", "source"):
        inputs["background"] = Path(config.background)
    paths = {name: path for name, path in inputs.items() if path is not None}
    for name, path in paths.items():
        refuse_url(path)
        if not exists(path):
            names = NAMES_OF.get(name, ())
            raise InputError(f"{path} does not exist.", f"{suggestion(str(path), names)}Check --{name}.")
    return paths


def _recorded(config: RenderConfig, sources: Mapping[str, Path]) -> dict[str, Any]:
    """The options as key and manifest record them: files by their names, as their content is recorded by its hash."""
    unused = {"shard", "device", "private_key", *PLACE} | ({"seed"} if motion_source(config) is None else set())
    options = config.model_dump(mode="json", exclude=unused)
    named = {name.replace("-", "_"): path for name, path in sources.items()}
    named |= {"frames": config.frames} if config.frames is not None else {}
    if config.motion not in (None, "builtin"):
        named["motion"] = Path(str(config.motion))
    if config.lips not in (None, "prior", "own"):
        named["lips"] = Path(str(config.lips))
    return options | {name: path.name for name, path in named.items()}


def _digest(path: Path) -> str:
    """Hex sha256 of a clip, a file, or a folder of images."""
    return Clip.open(path, pictures=False).digest() if is_clip(path) else media_digest(path)


def _part(shard: str | None, frames: int) -> range:
    """Frame indices of one shard, a contiguous range.

    Args:
        shard: "i/n" for the i-th of n shards, i from 1; None for all frames.
        frames: number of frames of the whole result.

    Raises:
        UsageError: ``shard`` has another form.
    """
    if shard is None:
        return range(frames)
    try:
        index, count = (int(word) for word in shard.split("/"))
    except ValueError:
        index, count = 0, 0
    if not 1 <= index <= count:
        raise UsageError(f"--shard {shard} does not have the form I/N with I from 1 to N.", "For example: --shard 1/4")
    return range(frames * (index - 1) // count, frames * index // count)


def _encode(
    frames: Generator[np.ndarray, None, None],
    count: int,
    output: Path,
    config: RenderConfig,
    fps: float,
    size: int,
    document: dict[str, Any],
    before_rename: Callable[[Path], None],
    progress: Progress,
) -> None:
    """Writes the video with its sound.

    Args:
        frames: uint8 [size, size, 3] each, RGB, in order.
        count: number of frames.
        output: path of the video; without PyAV, PNG frames go to a folder beside it.
        config: audio file and quality.
        fps: frames per second.
        size: side of the frames, px.
        document: the manifest, whose facts become metadata tags.
        before_rename: called with the complete video under its temporary name.
        progress: receives progress and warnings.
    """
    sound = read_audio_native(Path(str(config.audio)))
    with progress.task("render", count) as advance, closing(frames):
        tags = metadata_tags(document)
        with open_writer(output, (size, size), fps, sound, config.crf, tags, before_rename) as writer:
            for frame in frames:
                writer.write(frame)
                advance(1)
    if writer.note:
        progress.warn(writer.note)
